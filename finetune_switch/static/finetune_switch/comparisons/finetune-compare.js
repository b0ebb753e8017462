const PARTIAL = { 'X-Requested-With': 'XMLHttpRequest' };
const WAKING_AFTER = 4000;
const LOOK_AGAIN_AFTER = 500;

let sending = Promise.resolve();

/**
 * Submits a form with the pressed button, and returns the changed part of the page.
 * Submissions are sent in the order in which they were made.
 */
function send(form, submitter) {
  const sent = sending.then(() => post(form, submitter));
  sending = sent.catch(() => {});
  return sent;
}

async function post(form, submitter) {
  const body = new FormData(form);
  if (submitter?.name) body.set(submitter.name, submitter.value);
  const response = await fetch(form.action, { method: 'POST', headers: PARTIAL, body });
  if (!response.ok) throw new Error(String(response.status));
  return response.text();
}

/**
 * Replaces a part of the page. Keeps the focus, open details and unsaved text.
 */
function replace(element, html) {
  const { id } = document.activeElement ?? {};
  const had = element.contains(document.activeElement);
  const open = [...element.querySelectorAll('details[open]')].map(({ className }) => className);
  const drafts = [...element.querySelectorAll('textarea')].filter((area) => area.value !== area.defaultValue);
  element.innerHTML = html;
  element.querySelectorAll('details').forEach((details) => {
    details.open = details.open || open.includes(details.className);
  });
  drafts.forEach((draft) => {
    const area = document.getElementById(draft.id);
    if (area) area.value = draft.value;
  });
  if (had) (document.getElementById(id) ?? element.querySelector('button:not([hidden])'))?.focus();
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

// Skips citation numbers, which are not words of the answer.
const WORD = /(?<![[\p{L}\p{N}])[\p{L}\p{N}]+(?:[.,:'’-][\p{L}\p{N}]+)*/gu;

function wordsOf(text) {
  return (text.match(WORD) ?? []).map((word) => word.toLowerCase());
}

/** Removes the marks of differences. */
function unmark(element) {
  element.querySelectorAll('.finetune-different').forEach((marked) => marked.replaceWith(...marked.childNodes));
  element.normalize();
}

/** Marks the words that differ; adjacent words get one mark. */
function mark(element, differs) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  nodes.forEach((node) => {
    const runs = [];
    let previous = false;
    for (const { 0: word, index } of node.data.matchAll(WORD)) {
      const different = differs(word.toLowerCase());
      if (different && previous) runs[runs.length - 1][1] = index + word.length;
      else if (different) runs.push([index, index + word.length]);
      previous = different;
    }
    // From the end, so that earlier offsets stay valid.
    runs.reverse().forEach(([start, end]) => {
      const range = document.createRange();
      range.setStart(node, start);
      range.setEnd(node, end);
      const marked = document.createElement('em');
      marked.className = 'finetune-different';
      range.surroundContents(marked);
    });
  });
}

/** One backend's answer: streams, stops, retries and grades it. */
class FinetuneColumnController extends window.StimulusModule.Controller {
  static targets = ['answer', 'body', 'lost', 'state', 'status', 'stop'];
  static values = {
    answering: String,
    begin: Boolean,
    letter: String,
    meanwhile: String,
    saved: String,
    token: String,
    url: String,
    waking: String,
  };

  connect() {
    if (this.state === 'waiting' && this.beginValue) this.start();
    // It is being answered for another window, or was for this page before a reload.
    else if (this.state === 'answering') this.finish();
  }

  /** Leaves the answer, which is finished in the background. */
  disconnect() {
    this.abort?.abort();
  }

  get isAnswering() {
    return Boolean(this.abort);
  }

  get state() {
    return this.answerTarget.dataset.state;
  }

  async start() {
    if (this.isAnswering) return;
    const abort = new AbortController();
    this.abort = abort;
    this.isStopping = false;
    this.stopTarget.hidden = false;
    if (this.hasStateTarget && this.stateTarget.contains(document.activeElement)) this.stopTarget.focus();
    this.wait(this.answeringValue);
    this.dispatch('answering');
    const waking = setTimeout(() => {
      this.isWaking = true;
      this.dispatch('waking');
    }, WAKING_AFTER);
    try {
      const response = await fetch(`${this.urlValue}stream/`, {
        method: 'POST',
        headers: { ...PARTIAL, 'X-CSRFToken': this.tokenValue },
        signal: abort.signal,
      });
      if (!response.ok) throw new Error(String(response.status));
      for await (const [name, { text, replaces }] of eventsOf(response)) {
        if (name !== 'text') continue;
        clearTimeout(waking);
        this.isWaking = false;
        if (this.hasStateTarget) this.stateTarget.remove();
        if (replaces) this.answerTarget.textContent = '';
        this.answerTarget.append(text);
      }
    } catch (error) {
      // The record has the text so far; it is shown from there.
    }
    clearTimeout(waking);
    this.isWaking = false;
    await this.finish();
    this.abort = undefined;
    this.dispatch('answered');
  }

  /** Whether the answer has arrived and has no grade yet. */
  get isToBeJudged() {
    const grades = [...this.bodyTarget.querySelectorAll('[data-key]')];
    return grades.length > 0 && grades.every((button) => button.getAttribute('aria-pressed') === 'false');
  }

  /** Shows the waiting message, and announces it once to screen readers. */
  wait(sentence) {
    if (this.statusTarget.textContent === sentence) return;
    if (this.hasStateTarget) this.stateTarget.textContent = sentence;
    this.statusTarget.textContent = sentence;
  }

  /** The server is told first: it finishes an answer whose reader just leaves. */
  async stop() {
    const { abort } = this;
    if (!abort) return;
    this.isStopping = true;
    await this.tellStop();
    abort.abort();
  }

  async tellStop() {
    try {
      await fetch(`${this.urlValue}stop/`, {
        method: 'POST',
        headers: { ...PARTIAL, 'X-CSRFToken': this.tokenValue },
      });
    } catch (error) {
      // The next look at the answer tells it again.
    }
  }

  /** Shows the outcome, and announces it once to screen readers. */
  async finish() {
    if (!(await this.refresh())) return;
    const { textContent } = this.answerTarget;
    this.statusTarget.textContent = [
      textContent && `${this.letterValue}: ${textContent}`,
      this.hasStateTarget && this.stateTarget.textContent.trim(),
    ]
      .filter(Boolean)
      .join(' ');
  }

  /**
   * Shows the recorded answer once it has ended. The server may need a moment to notice a closed
   * connection, and an answer for another window may still be streaming.
   */
  async refresh() {
    while (this.element.isConnected) {
      try {
        const response = await fetch(this.urlValue, { headers: PARTIAL });
        if (!response.ok) throw new Error(String(response.status));
        const html = await response.text();
        const fresh = new DOMParser().parseFromString(html, 'text/html');
        if (fresh.querySelector('[data-state]').dataset.state !== 'answering') {
          this.isStopping = false;
          this.show(html);
          return true;
        }
        if (this.isStopping) await this.tellStop();
      } catch (error) {
        this.stopTarget.hidden = true;
        this.lostTarget.hidden = false;
        return false;
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_AFTER));
    }
    return false;
  }

  show(html) {
    replace(this.bodyTarget, html);
    this.lostTarget.hidden = true;
    this.dispatch('shown');
  }

  async again(event) {
    if (await this.send(event)) this.start();
  }

  async judge(event) {
    if (await this.send(event)) this.statusTarget.textContent = this.savedValue;
  }

  async send(event) {
    event.preventDefault();
    try {
      this.show(await send(event.target, event.submitter));
      return true;
    } catch (error) {
      this.lostTarget.hidden = false;
      return false;
    }
  }

  /** Shows the grade immediately, so that the next key applies to the next column. */
  grade(key) {
    const button = this.bodyTarget.querySelector(`[data-key="${key}"]`);
    if (!button) return;
    this.bodyTarget.querySelectorAll('[data-key]').forEach((other) => {
      other.setAttribute('aria-pressed', String(other === button));
    });
    button.click();
  }
}

/** The whole comparison: the verdict, by mouse or keyboard, and the supporting passages. */
class FinetuneCompareController extends window.StimulusModule.Controller {
  static targets = ['column', 'differences', 'lost', 'passage', 'status', 'stop', 'tab', 'verdict'];
  static values = { saved: String };

  connect() {
    this.settle();
  }

  get columns() {
    return this.columnTargets
      .map((element) => this.application.getControllerForElementAndIdentifier(element, 'finetune-column'))
      .filter(Boolean);
  }

  settle() {
    const isAnswering = this.columns.some((column) => column.isAnswering);
    this.stopTarget.hidden = !isAnswering;
    // No verdict before all answers have ended.
    const isOpen = isAnswering || this.element.querySelector('[data-open]') !== null;
    // Only whole answers can be judged. Read from the page: the columns may not be connected yet.
    const letterOf = (column) => column.dataset.finetuneColumnLetterValue;
    const letters = this.columnTargets.map(letterOf);
    const whole = this.columnTargets
      .filter((column) => column.querySelector('[data-state="answered"]'))
      .map(letterOf);
    this.verdictTarget.querySelectorAll('[name="choice"]').forEach((button) => {
      const isPossible = letters.includes(button.value) ? whole.includes(button.value) : whole.length > 1;
      button.disabled = isOpen || !isPossible;
    });
    this.markDifferences();
  }

  toggleDifferences({ currentTarget }) {
    const wanted = currentTarget.getAttribute('aria-pressed') !== 'true';
    currentTarget.setAttribute('aria-pressed', String(wanted));
    this.markDifferences();
  }

  /** Marks the words that only one answer contains. */
  markDifferences() {
    const answers = this.columnTargets.map((column) => column.querySelector('.finetune-answer'));
    answers.forEach(unmark);
    if (this.differencesTarget.getAttribute('aria-pressed') !== 'true') return;
    const said = answers.map((answer) => new Set(wordsOf(answer.textContent)));
    answers.forEach((answer, index) => {
      const others = said.filter((words, other) => other !== index && words.size);
      if (others.length) mark(answer, (word) => !others.some((words) => words.has(word)));
    });
  }

  /** Shows how long each loading model usually takes, and what to do meanwhile. */
  wake() {
    const judged = this.columns.find((column) => column.isToBeJudged);
    this.columns
      .filter((column) => column.isWaking)
      .forEach((column) => {
        column.wait(judged ? `${column.wakingValue} ${judged.meanwhileValue}` : column.wakingValue);
      });
  }

  stopAll() {
    this.columns.forEach((column) => column.stop());
  }

  attend({ currentTarget }) {
    this.attended = currentTarget;
  }

  /** 1 to 4 grade the focused column, or else the first visible one without a grade. */
  key(event) {
    const { key, target, altKey, ctrlKey, metaKey } = event;
    if (altKey || ctrlKey || metaKey) return;
    if (target.closest('input, textarea, select, [contenteditable]')) return;
    if (['1', '2', '3', '4'].includes(key)) {
      const seen = this.columnTargets.filter((column) => column.offsetParent);
      const open = this.columns.find((column) => column.isToBeJudged && seen.includes(column.element))?.element;
      const element = this.element.contains(target) && seen.includes(this.attended) ? this.attended : open;
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
      this.lostTarget.hidden = true;
      this.statusTarget.textContent = this.savedValue;
      return true;
    } catch (error) {
      this.lostTarget.hidden = false;
      return false;
    }
  }

  async reveal(event) {
    if (!(await this.judge(event))) return;
    this.statusTarget.textContent = '';
    this.verdictTarget.querySelector('#finetune-wins')?.focus();
    this.columns.filter((column) => !column.isAnswering).forEach((column) => column.refresh());
  }

  show({ params: { position } }) {
    this.columnTargets.forEach((column, index) => {
      column.classList.toggle('finetune-column--shown', index === position);
      this.tabTargets[index].setAttribute('aria-pressed', String(index === position));
    });
    this.attended = this.columnTargets[position];
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
