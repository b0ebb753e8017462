const PARTIAL = { 'X-Requested-With': 'XMLHttpRequest' };
const TYPING = 'textarea, select, input:not([type="radio"])';

/**
 * Grades one answer after another. The next one is loaded in advance and shown at once; grades are
 * sent in the order in which they were given.
 */
class FinetuneGradingController extends window.StimulusModule.Controller {
  static targets = ['body', 'keys', 'lost', 'pace', 'status'];
  static values = { card: String, choose: String, saved: String };

  connect() {
    this.sending = Promise.resolve();
    this.preload();
  }

  get item() {
    return this.bodyTarget.firstElementChild?.dataset.item ?? '';
  }

  get form() {
    return this.bodyTarget.querySelector('form:not([data-undo])');
  }

  /** Loads the answer after the one that is shown. */
  async preload() {
    const { item } = this;
    this.next = null;
    if (!item) return;
    // An answer whose grade is not saved yet would be offered again.
    await this.sending;
    const response = await fetch(`${this.cardValue}?after=${item}`, { headers: PARTIAL }).catch(() => null);
    if (response?.ok && item === this.item) this.next = await response.text();
  }

  key(event) {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.form?.requestSubmit();
      return;
    }
    const typing = event.target.closest?.(TYPING);
    if (typing || event.ctrlKey || event.metaKey || event.altKey || this.keysTarget.open) return;
    if (event.key === '?') {
      event.preventDefault();
      this.showKeys();
    } else if (event.key === 'u' || event.key === 'U') {
      event.preventDefault();
      this.bodyTarget.querySelector('[name="undo"]:not(:disabled)')?.click();
    } else if (/^[1-7]$/.test(event.key)) {
      const choice = this.form?.querySelector(`[data-key="${event.key}"]`);
      if (!choice) return;
      event.preventDefault();
      choice.checked = true;
      choice.focus();
      if (choice.name === 'tone' && this.form.elements.value.value) this.form.requestSubmit();
    }
  }

  showKeys() {
    this.keysTarget.showModal();
  }

  submit(event) {
    const form = event.target;
    if (form.method === 'dialog') return;
    event.preventDefault();
    const body = new FormData(form, event.submitter);
    const isUndo = 'undo' in form.dataset;
    if (!isUndo && !body.get('value')) {
      this.statusTarget.textContent = this.chooseValue;
      return;
    }
    const { action } = form;
    const next = isUndo ? null : this.next;
    this.sending = this.sending.then(() => this.send(action, body));
    if (next) this.show(next);
  }

  async send(action, body) {
    try {
      const response = await fetch(action, { method: 'POST', headers: PARTIAL, body });
      if (!response.ok) throw new Error(String(response.status));
      const html = await response.text();
      const fresh = document.createElement('template');
      fresh.innerHTML = html;
      const card = fresh.content.firstElementChild;
      const isUndo = body.has('undo');
      if (!isUndo && this.item && card.dataset.item === this.item) {
        // The next answer is shown already, and perhaps graded in part.
        this.bodyTarget.querySelector('.finetune-pace').replaceWith(card.querySelector('.finetune-pace'));
      } else if (isUndo || !this.item || body.get('item') === this.item) {
        this.show(html);
      }
      this.statusTarget.textContent = this.savedValue;
      this.lostTarget.hidden = true;
    } catch {
      this.lostTarget.hidden = false;
    }
    if (!this.next) this.preload();
  }

  show(html) {
    this.next = null;
    this.bodyTarget.innerHTML = html;
    this.bodyTarget.querySelector('.finetune-answer')?.focus({ preventScroll: true });
    window.scrollTo({ top: 0 });
    this.preload();
  }
}

window.wagtail.app.register('finetune-grading', FinetuneGradingController);
