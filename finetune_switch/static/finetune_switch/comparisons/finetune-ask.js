const PAUSE = 250;

/** The form of a comparison: suggests similar questions, base models and instructions. */
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
      // Suggestions are optional; the previous ones stay.
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

  /** Suggests the base model of a selected fine-tune unless it is selected too. */
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

  /** Inserts the selected instructions. Selecting none restores the user's own text. */
  word({ currentTarget: { value, options } }) {
    const { instructions } = this.element.elements;
    if (![...options].some((option) => option.value === instructions.value)) this.written = instructions.value;
    instructions.value = value || this.written || '';
  }
}

window.wagtail.app.register('finetune-ask', FinetuneAskController);
