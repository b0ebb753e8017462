/** With a script the results need not wait for the answer: the page comes at once, and asks by itself. */
document.querySelectorAll('form.finetune-form').forEach((form) => {
  const later = document.createElement('input');
  Object.assign(later, { type: 'hidden', name: 'answer', value: 'later' });
  form.append(later);
});
document.querySelectorAll('.finetune-offer a').forEach((offer) => {
  offer.search += '&answer=later';
});
