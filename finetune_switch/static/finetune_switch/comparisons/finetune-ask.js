const PAUSE = 250;

/** Helps with the form: with questions like the one that is being written, and with wordings. */
class FinetuneAskController extends window.StimulusModule.Controller {
  static targets = ['control', 'list', 'section', 'wordings'];
  static values = { url: String };

  connect() {
    this.wordingsTargets.forEach((element) => {
      element.hidden = false;
    });
    this.showControls();
  }

  disconnect() {
    clearTimeout(this.timer);
    this.abort?.abort();
  }

  look({ target }) {
    if (target.name !== 'question') return;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.suggest(target.value), PAUSE);
  }

  async suggest(words) {
    this.abort?.abort();
    this.abort = new AbortController();
    const url = `${this.urlValue}?${new URLSearchParams({ q: words })}`;
    try {
      const response = await fetch(url, {
        headers: { 'X-Requested-With': 'XMLHttpRequest' },
        signal: this.abort.signal,
      });
      if (response.ok) this.show(await response.json());
    } catch (error) {
      // The question can be asked without: what was suggested before stays.
    }
  }

  show(suggestions) {
    this.sectionTarget.hidden = !suggestions.length;
    this.listTarget.replaceChildren(
      ...suggestions.map(({ text, saved }) => {
        const button = document.createElement('button');
        button.type = 'button';
        button.className = 'button button-secondary';
        button.dataset.action = 'finetune-ask#take';
        button.dataset.finetuneAskSavedParam = saved ?? '';
        button.textContent = text;
        const item = document.createElement('li');
        item.append(button);
        return item;
      }),
    );
  }

  take({ currentTarget, params: { saved } }) {
    const { question, saved_question: savedQuestion } = this.element.elements;
    question.value = currentTarget.textContent.trim();
    savedQuestion.value = saved ?? '';
    question.focus();
  }

  backend(value) {
    return this.element.querySelector(`[name="backends"][value="${value}"]`);
  }

  /** Says what a fine-tune was tuned from, as long as the one is compared and the other is not. */
  showControls() {
    this.controlTargets.forEach((control) => {
      const { active, base, tuned } = control.dataset;
      const isIn = active !== undefined || this.backend(tuned)?.checked;
      control.hidden = !isIn || Boolean(base && this.backend(base)?.checked);
    });
  }

  addBase({ params: { base } }) {
    const box = this.backend(base);
    box.checked = true;
    box.focus();
    this.showControls();
  }

  /** Puts the chosen wording in place; what somebody wrote themselves comes back with none. */
  word({ currentTarget: { value, options } }) {
    const { instructions } = this.element.elements;
    if (![...options].some((option) => option.value === instructions.value)) this.written = instructions.value;
    instructions.value = value || this.written || '';
  }
}

window.wagtail.app.register('finetune-ask', FinetuneAskController);
