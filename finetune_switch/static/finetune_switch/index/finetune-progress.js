/** Polls the progress of an index build; pauses while the tab is hidden. */
class FinetuneProgressController extends window.StimulusModule.Controller {
  static targets = ['status', 'card', 'bar', 'sentence', 'page'];
  static values = { url: String, lost: String, every: { type: Number, default: 1500 } };

  connect() {
    this.look = this.look.bind(this);
    this.quarter = 0;
    document.addEventListener('visibilitychange', this.look);
    this.later();
  }

  disconnect() {
    document.removeEventListener('visibilitychange', this.look);
    clearTimeout(this.timer);
    this.abort?.abort();
  }

  later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(this.look, this.everyValue);
  }

  async look() {
    clearTimeout(this.timer);
    this.abort?.abort();
    if (document.hidden) return;
    const abort = new AbortController();
    this.abort = abort;
    try {
      const progress = await (await this.get(this.urlValue, abort)).json();
      this.show(progress);
      if (!progress.is_at_work) {
        await this.finish(progress, abort);
        return;
      }
    } catch (error) {
      if (error.name === 'AbortError') return;
      this.sentenceTarget.textContent = this.lostValue;
    }
    this.later();
  }

  async get(url, { signal }) {
    const headers = { 'X-Requested-With': 'XMLHttpRequest' };
    const response = await fetch(url, { headers, signal });
    if (!response.ok) throw new Error(String(response.status));
    return response;
  }

  show({ done, total, sentence }) {
    this.sentenceTarget.textContent = sentence;
    if (!total) return;
    this.barTarget.max = total;
    this.barTarget.value = done;
    // Announce the progress only a few times, not for every page.
    const quarter = Math.floor((4 * done) / total);
    if (quarter > this.quarter) this.statusTarget.textContent = sentence;
    this.quarter = quarter;
  }

  /** The build has ended: update the rest of the page with its result. */
  async finish({ sentence }, abort) {
    const html = await (await this.get(window.location.href, abort)).text();
    const fresh = new DOMParser().parseFromString(html, 'text/html');
    const page = fresh.getElementById(this.pageTarget.id);
    document.removeEventListener('visibilitychange', this.look);
    this.statusTarget.textContent = sentence;
    this.pageTarget.replaceChildren(...page.childNodes);
    this.cardTarget.remove();
  }
}

window.wagtail.app.register('finetune-progress', FinetuneProgressController);
