/** Shows whether the active backend can answer. */
class FinetuneStateController extends window.StimulusModule.Controller {
  static values = { url: String, waiting: String, unknown: String };

  async connect() {
    this.abort = new AbortController();
    const waiting = document.createElement('span');
    waiting.className = 'finetune-state';
    waiting.textContent = this.waitingValue;
    this.element.append(waiting);
    try {
      const response = await fetch(this.urlValue, {
        headers: { 'X-Requested-With': 'XMLHttpRequest' },
        signal: this.abort.signal,
      });
      if (!response.ok) throw new Error(String(response.status));
      const { passed, message, remedy } = await response.json();
      waiting.className = `finetune-state finetune-state--${passed ? 'passed' : 'failed'}`;
      waiting.textContent = [message, remedy].filter(Boolean).join(' ');
    } catch (error) {
      if (error.name !== 'AbortError') waiting.textContent = this.unknownValue;
    }
  }

  disconnect() {
    this.abort?.abort();
  }
}

window.wagtail.app.register('finetune-state', FinetuneStateController);
