/** Asks for the results at once; the widget on the page then streams the answer. */
document.querySelectorAll('form.finetune-form').forEach((form) => {
  const later = document.createElement('input');
  Object.assign(later, { type: 'hidden', name: 'answer', value: 'later' });
  form.append(later);
});
document.querySelectorAll('.finetune-offer a').forEach((offer) => {
  offer.search += '&answer=later';
});
