/** Takes over a question to try. */
class FinetuneAskController extends window.StimulusModule.Controller {
  take({ currentTarget }) {
    const question = this.element.elements.question;
    question.value = currentTarget.textContent.trim();
    question.dispatchEvent(new Event('input', { bubbles: true }));
    question.focus();
  }
}

window.wagtail.app.register('finetune-ask', FinetuneAskController);
