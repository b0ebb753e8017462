/** Shows which recorded questions would get the answer with the current form values. */
class FinetuneSimilarityController extends window.StimulusModule.Controller {
  static targets = ['button', 'status', 'list'];
  static values = { url: String, waiting: String, failed: String };

  static fields = ['examples', 'words', 'threshold', 'locale', 'site'];

  connect() {
    this.form = this.element.closest('form');
    this.renew = ({ target }) => {
      if (this.constructor.fields.includes(target.name)) this.show();
    };
    this.form.addEventListener('change', this.renew);
    // Show the list at once if the form is filled in.
    if (this.form.elements.examples.value || this.form.elements.words.value) this.show();
  }

  disconnect() {
    this.form.removeEventListener('change', this.renew);
    this.abort?.abort();
  }

  /** Adds a question that would not get the answer to its examples. */
  add({ params: { text } }) {
    const { examples } = this.form.elements;
    const line = text.split(/\s+/).join(' ').trim();
    examples.value = [examples.value.trimEnd(), line].filter(Boolean).join('\n');
    this.buttonTarget.focus();
    // Refreshes the list, and triggers Wagtail's warning about unsaved changes.
    examples.dispatchEvent(new Event('change', { bubbles: true }));
  }

  async show() {
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    this.statusTarget.textContent = this.waitingValue;
    try {
      const body = new FormData();
      [...this.constructor.fields, 'csrfmiddlewaretoken'].forEach((name) => {
        body.set(name, this.form.elements[name]?.value ?? '');
      });
      const response = await fetch(this.urlValue, {
        method: 'POST',
        headers: { 'X-Requested-With': 'XMLHttpRequest' },
        body,
        signal: abort.signal,
      });
      if (!response.ok) throw new Error(String(response.status));
      this.listTarget.innerHTML = await response.text();
      // Only the summary is announced to screen readers.
      const summary = this.listTarget.querySelector('[data-finetune-similarity-summary]');
      this.statusTarget.textContent = '';
      if (summary) this.statusTarget.append(...summary.childNodes);
      summary?.remove();
    } catch (error) {
      if (error.name !== 'AbortError') this.statusTarget.textContent = this.failedValue;
    }
  }
}

window.wagtail.app.register('finetune-similarity', FinetuneSimilarityController);
