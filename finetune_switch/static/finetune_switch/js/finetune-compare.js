const PARTIAL = { 'X-Requested-With': 'XMLHttpRequest' };
const WAKING_AFTER = 4000;

/** Sends a form, with the button that was pressed, and gives the part of the page that it changed. */
async function send(form, submitter) {
  const body = new FormData(form);
  if (submitter?.name) body.set(submitter.name, submitter.value);
  const response = await fetch(form.action, { method: 'POST', headers: PARTIAL, body });
  if (!response.ok) throw new Error(String(response.status));
  return response.text();
}

/** Puts a part of the page in place, the keyboard where it was. */
function replace(element, html) {
  const { id } = document.activeElement ?? {};
  const had = element.contains(document.activeElement);
  element.innerHTML = html;
  if (had) (document.getElementById(id) ?? element.querySelector('button'))?.focus();
}

/** The events of a "text/event-stream" response, one after another. */
async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split('\n\n');
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split('\n');
      const name = lines.find((line) => line.startsWith('event: '));
      const data = lines.find((line) => line.startsWith('data: '));
      if (name && data) yield [name.slice(7), JSON.parse(data.slice(6))];
    }
  }
}

/** One backend's answer: streams it, stops it, tries again, takes its grades. */
class FinetuneColumnController extends window.StimulusModule.Controller {
  static targets = ['answer', 'body', 'status', 'stop', 'waiting'];
  static values = {
    answering: String,
    begin: Boolean,
    letter: String,
    lost: String,
    token: String,
    url: String,
    waking: String,
  };

  connect() {
    if (this.beginValue && this.answerTarget.dataset.state === 'waiting') this.start();
  }

  disconnect() {
    this.stop();
  }

  get isAnswering() {
    return Boolean(this.abort);
  }

  async start() {
    if (this.isAnswering) return;
    const abort = new AbortController();
    this.abort = abort;
    this.stopTarget.hidden = false;
    if (this.hasWaitingTarget) this.waitingTarget.textContent = `${this.answeringValue}…`;
    this.statusTarget.textContent = this.answeringValue;
    this.dispatch('answering');
    const waking = setTimeout(() => {
      if (this.hasWaitingTarget) this.waitingTarget.textContent = this.wakingValue;
    }, WAKING_AFTER);
    try {
      const response = await fetch(`${this.urlValue}stream/`, {
        method: 'POST',
        headers: { ...PARTIAL, 'X-CSRFToken': this.tokenValue },
        signal: abort.signal,
      });
      if (!response.ok) throw new Error(String(response.status));
      for await (const [name, { text }] of eventsOf(response)) {
        if (name !== 'text') continue;
        clearTimeout(waking);
        if (this.hasWaitingTarget) this.waitingTarget.remove();
        this.answerTarget.append(text);
      }
    } catch (error) {
      // Whatever was said until then is in the record, and is shown from there.
    }
    clearTimeout(waking);
    this.abort = undefined;
    await this.refresh();
  }

  stop() {
    this.abort?.abort();
  }

  /** Shows what the record says. A departure takes the server a moment to notice. */
  async refresh() {
    if (!this.element.isConnected) return;
    for (let tries = 0; tries < 6; tries += 1) {
      try {
        const response = await fetch(this.urlValue, { headers: PARTIAL });
        if (!response.ok) throw new Error(String(response.status));
        replace(this.bodyTarget, await response.text());
      } catch (error) {
        this.say(this.lostValue);
        break;
      }
      if (this.answerTarget.dataset.state !== 'answering') break;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    // Read out once, when it is all there.
    this.statusTarget.textContent = `${this.letterValue}: ${this.answerTarget.textContent}`;
    this.dispatch('answered');
  }

  async again(event) {
    if (await this.judge(event)) this.start();
  }

  async judge(event) {
    event.preventDefault();
    try {
      replace(this.bodyTarget, await send(event.target, event.submitter));
      return true;
    } catch (error) {
      this.say(this.lostValue);
      return false;
    }
  }

  grade(key) {
    this.bodyTarget.querySelector(`[data-key="${key}"]`)?.click();
  }

  say(sentence) {
    this.statusTarget.textContent = sentence;
    this.statusTarget.classList.remove('w-sr-only');
  }
}

/** The whole comparison: which answer is better, by mouse or keyboard, and what it rests on. */
class FinetuneCompareController extends window.StimulusModule.Controller {
  static targets = ['column', 'passage', 'stop', 'tab', 'verdict'];
  static values = { lost: String, token: String };
  static outlets = ['finetune-column'];

  get columns() {
    return this.columnTargets
      .map((element) => this.application.getControllerForElementAndIdentifier(element, 'finetune-column'))
      .filter(Boolean);
  }

  settle() {
    this.stopTarget.hidden = !this.columns.some((column) => column.isAnswering);
  }

  stopAll() {
    this.columns.forEach((column) => column.stop());
  }

  attend({ currentTarget }) {
    this.attended = currentTarget;
  }

  /** 1 to 4 grade the column that has the keyboard, else the first that has no grade yet. */
  key(event) {
    const { key, target, altKey, ctrlKey, metaKey } = event;
    if (altKey || ctrlKey || metaKey) return;
    if (target.closest('input, textarea, select, [contenteditable]')) return;
    if ('1234'.includes(key)) {
      const open = this.columnTargets.find(
        (column) => column.querySelector('[data-key]') && !column.querySelector('[data-key][aria-pressed="true"]'),
      );
      const element = this.element.contains(target) && this.attended ? this.attended : open;
      const index = this.columnTargets.indexOf(element);
      if (index >= 0) this.columns[index].grade(key);
    } else if (key === 'ArrowLeft' || key === 'ArrowRight') {
      if (this.columnTargets.length !== 2) return;
      event.preventDefault();
      this.verdictTarget.querySelector(`#finetune-choice-${key === 'ArrowLeft' ? 'A' : 'B'}`)?.click();
    }
  }

  async judge(event) {
    event.preventDefault();
    try {
      replace(this.verdictTarget, await send(event.target, event.submitter));
      return true;
    } catch (error) {
      window.alert(this.lostValue);
      return false;
    }
  }

  async reveal(event) {
    if (!(await this.judge(event))) return;
    await Promise.all(this.columns.filter((column) => !column.isAnswering).map((column) => column.refresh()));
    this.verdictTarget.querySelector('#finetune-wins')?.focus();
  }

  show({ params: { position } }) {
    this.columnTargets.forEach((column, index) => {
      column.classList.toggle('finetune-column--shown', index === position);
      this.tabTargets[index].setAttribute('aria-pressed', String(index === position));
    });
  }

  light({ target }) {
    const number = target.closest('[data-passage]')?.dataset.passage;
    this.passageTargets.forEach((passage) => {
      passage.classList.toggle('finetune-passage--lit', passage.dataset.number === number);
    });
  }

  dim() {
    this.passageTargets.forEach((passage) => passage.classList.remove('finetune-passage--lit'));
  }
}

window.wagtail.app.register('finetune-column', FinetuneColumnController);
window.wagtail.app.register('finetune-compare', FinetuneCompareController);
