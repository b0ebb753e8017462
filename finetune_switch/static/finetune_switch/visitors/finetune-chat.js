const CITATION = /\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]/g;
const THUMB = 'M2 9h3v9H2zm5 0 3.5-7.2c1.5 0 2.4 1 2.4 2.4L12.3 7H18l-1.6 9.6c-.2.9-.8 1.4-1.7 1.4H7z';
// How many turns the browser keeps for the next page.
const MOST_KEPT = 20;
// The timeout of requests that are optional, in milliseconds.
const PATIENCE = 5000;
// How often to ask for an answer that is still being given, and the milliseconds in between.
const TRIES = 5;
const PAUSE = 1000;

// Not a <style> element, which a strict Content-Security-Policy refuses.
const STYLES = new CSSStyleSheet();
STYLES.replaceSync(`
  :host {
    display: block;
    color: var(--finetune-chat-color, inherit);
    font: var(--finetune-chat-font, inherit);
  }
  [hidden] { display: none !important; }
  form { display: grid; gap: 0.4em; margin-block: 0.6em; }
  .line, .actions, .tools { display: flex; flex-wrap: wrap; gap: 0.5em; align-items: center; }
  .tools { margin-block: 0.6em; }
  label { font-weight: 600; }
  input, button {
    box-sizing: border-box;
    min-height: 2.75em;
    padding: 0.5em 0.9em;
    border: 1px solid var(--finetune-chat-border, currentColor);
    border-radius: var(--finetune-chat-radius, 4px);
    font: inherit;
  }
  input {
    flex: 1 1 12em;
    min-width: 0;
    background: var(--finetune-chat-field, Field);
    color: var(--finetune-chat-field-color, FieldText);
  }
  button {
    display: inline-flex;
    gap: 0.4em;
    align-items: center;
    background: var(--finetune-chat-button, ButtonFace);
    color: var(--finetune-chat-button-color, ButtonText);
    cursor: pointer;
  }
  .small { font-size: 0.875em; }
  button.small { background: none; color: inherit; border-color: currentColor; }
  button[aria-pressed="true"] { box-shadow: inset 0 0 0 2px; font-weight: 600; }
  button[aria-pressed="true"] path { fill: currentColor; }
  svg { width: 1.15em; height: 1.15em; fill: none; stroke: currentColor; stroke-width: 1.6; }
  .down { transform: rotate(180deg); }
  a { color: var(--finetune-chat-link, inherit); }
  :focus-visible { outline: 3px solid var(--finetune-chat-focus, currentColor); outline-offset: 2px; }
  h2, h3, h4, h5, h6 { margin: 1em 0 0.3em; font-size: 1em; overflow-wrap: anywhere; }
  p { margin: 0.5em 0; overflow-wrap: anywhere; }
  ol { margin: 0.3em 0; padding-inline-start: 2em; }
  li { padding-block: 0.15em; overflow-wrap: anywhere; }
  article + article { margin-block-start: 1.2em; border-block-start: 1px solid; }
  .text { white-space: pre-wrap; }
  .error { padding-inline-start: 0.7em; border-inline-start: 4px solid; }
  dialog {
    box-sizing: border-box;
    width: min(42em, 100% - 1em);
    max-height: calc(100dvh - 1em);
    padding: 0 1em 1em;
    overflow: auto;
    scroll-padding-block: 4.5em 1em;
    border: 1px solid;
    border-radius: var(--finetune-chat-radius, 4px);
    background: var(--finetune-chat-surface, Canvas);
    color: var(--finetune-chat-surface-color, CanvasText);
  }
  dialog::backdrop { background: rgb(0 0 0 / 0.5); }
  .head {
    display: flex;
    position: sticky;
    top: 0;
    gap: 1em;
    align-items: center;
    justify-content: space-between;
    padding-block: 0.8em;
    background: inherit;
  }
  .head > * { margin: 0; }
  .unseen {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  @media (prefers-reduced-motion: no-preference) {
    .waiting { animation: waiting 1.5s ease-in-out infinite alternate; }
    @keyframes waiting { from { opacity: 1; } to { opacity: 0.6; } }
  }
  @media (forced-colors: active) {
    input, button { border-color: ButtonBorder; }
    button[aria-pressed="true"] { forced-color-adjust: none; background: Highlight; color: HighlightText; }
    :focus-visible { outline-color: Highlight; }
  }
`);

/** An element with attributes and children; strings become text nodes, never markup. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  Object.entries(attributes).forEach(([key, value]) => {
    if (value === true) element.setAttribute(key, '');
    else if (value !== false) element.setAttribute(key, value);
  });
  element.append(...children);
  return element;
}

function button(texts, name, type = 'button', small = false) {
  return make('button', { type, part: `button ${name}`, class: small ? 'small' : '' }, texts[name]);
}

/** A toggle button with a thumb and its name. */
function thumb(texts, name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('aria-hidden', 'true');
  if (name === 'unhelpful') svg.setAttribute('class', 'down');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', THUMB);
  svg.append(path);
  const pressed = button(texts, name, 'button', true);
  pressed.setAttribute('aria-pressed', 'false');
  pressed.prepend(svg);
  return pressed;
}

/** An absolute http(s) address, resolved against the asked site; empty for anything else. */
function address(url, base) {
  const target = url && URL.canParse(url, base) ? new URL(url, base) : null;
  return target && ['http:', 'https:'].includes(target.protocol) ? target.href : '';
}

/** A link to a page, or only its name if the address is not http(s). */
function link(url, part, ...children) {
  const href = address(url, document.baseURI);
  return href ? make('a', { href, part }, ...children) : make('span', { part }, ...children);
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

function newId() {
  // Browsers have no randomUUID() over plain HTTP.
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

/** Copies a text, with a fallback for pages without access to the clipboard. */
async function copyText(text, place) {
  try {
    await navigator.clipboard.writeText(text);
  } catch (error) {
    const area = make('textarea', { class: 'unseen', 'aria-hidden': 'true' });
    area.value = text;
    place.append(area);
    area.select();
    const isCopied = document.execCommand('copy');
    area.remove();
    if (!isCopied) throw error;
  }
}

/** A refusal by the site, with a sentence for the visitor. */
class Refused extends Error {
  constructor({ message, code }) {
    super(message);
    this.code = code;
  }
}

/** One question with its answer: its elements, and what the browser keeps of it. */
class Turn {
  constructor(chat, kept) {
    this.chat = chat;
    this.texts = chat.texts;
    this.kept = {
      id: newId(),
      question: '',
      answer: '',
      sources: [],
      pages: [],
      destination: '',
      exchange: '',
      outcome: 'open',
      error: '',
      isHelpful: null,
      ...kept,
    };
    this.build(`turn-${(chat.count += 1)}`);
    this.refresh();
  }

  build(id) {
    const { texts, chat } = this;
    const level = chat.level;
    this.waiting = make('p', { class: 'waiting', part: 'waiting' }, texts.waiting);
    this.text = make('p', { class: 'text', part: 'text' });
    this.error = make('p', { class: 'error', part: 'error' });
    this.heading = make(`h${level + 1}`, { part: 'sources-heading' }, texts.pages);
    this.pages = make('ol', { part: 'sources' });
    this.destination = make('p', { class: 'small', part: 'destination' });
    this.retry = button(texts, 'retry', 'button', true);
    this.copy = button(texts, 'copy', 'button', true);
    this.thumbs = new Map([[true, thumb(texts, 'helpful')], [false, thumb(texts, 'unhelpful')]]);
    this.tools = make(
      'div',
      { class: 'tools', part: 'tools' },
      this.retry,
      this.copy,
      ...this.thumbs.values(),
    );
    this.comment = make('input', { id: `${id}-why`, part: 'input', maxlength: 500, autocomplete: 'off' });
    this.why = make('label', { for: `${id}-why`, class: 'small', part: 'label' });
    this.feedback = make(
      'form',
      { part: 'feedback', hidden: true },
      this.why,
      make('div', { class: 'line', part: 'line' }, this.comment, button(texts, 'send', 'submit', true)),
    );
    this.remark = make('p', { class: 'small', part: 'remark', hidden: true });
    // Not a region: there may be many with the same name.
    this.element = make(
      'article',
      { part: 'answer', 'aria-labelledby': id },
      make(`h${level}`, { id, part: 'question' }, this.kept.question),
      this.waiting,
      this.text,
      this.error,
      this.heading,
      this.pages,
      this.destination,
      this.tools,
      this.feedback,
      this.remark,
    );
    this.retry.addEventListener('click', () => chat.askAgain(this));
    this.copy.addEventListener('click', () => this.copyAll());
    this.thumbs.forEach((pressed, isHelpful) =>
      pressed.addEventListener('click', () => this.rate(isHelpful)),
    );
    this.feedback.addEventListener('submit', (event) => {
      event.preventDefault();
      this.explain();
    });
  }

  get isOpen() {
    return this.kept.outcome === 'open';
  }

  get isAnswered() {
    return ['complete', 'no_answer'].includes(this.kept.outcome);
  }

  begin() {
    const fresh = { answer: '', sources: [], pages: [], exchange: '', error: '', outcome: 'open' };
    Object.assign(this.kept, fresh);
    this.refresh();
  }

  /** Shows the sources. They come a second time if the model has rephrased the question. */
  find({ passages, data_destination: destination = '', exchange = '' }) {
    const { kept } = this;
    kept.sources = passages.map(({ number, source }) => ({
      number,
      title: source.title,
      href: address(source.url, this.chat.base),
      page: `${source.model} ${source.object_id}`,
    }));
    // Each page once, with its first number.
    const pages = new Map();
    kept.sources.forEach((source) => pages.has(source.page) || pages.set(source.page, source));
    kept.pages = [...pages.values()];
    Object.assign(kept, { destination, exchange });
    this.refresh();
  }

  say({ text, replaces }) {
    this.kept.answer = replaces ? text : this.kept.answer + text;
    this.showText();
  }

  end(outcome, error = '') {
    Object.assign(this.kept, { outcome, error });
    this.refresh();
  }

  refresh() {
    const { kept, texts } = this;
    const isOver = !this.isOpen;
    this.pages.replaceChildren(
      ...kept.pages.map(({ number, title, href }) =>
        make('li', number ? { value: number } : {}, link(href, 'source', title)),
      ),
    );
    this.destination.textContent = `${texts.destination} ${kept.destination}`;
    this.error.replaceChildren(kept.error);
    if (['failed', 'lost'].includes(kept.outcome)) {
      this.error.append(' ', link(this.chat.searchUrl(kept.question), 'search', texts.search));
    }
    this.showText();
    this.heading.hidden = this.pages.hidden = !kept.pages.length;
    this.destination.hidden = !kept.destination;
    this.error.hidden = !kept.error;
    this.tools.hidden = this.isOpen;
    this.retry.hidden = this.isAnswered;
    this.copy.hidden = !kept.answer;
    this.thumbs.forEach((pressed, isHelpful) => {
      pressed.hidden = !(isOver && this.isAnswered && kept.exchange);
      pressed.setAttribute('aria-pressed', kept.isHelpful === isHelpful);
    });
  }

  showText() {
    this.text.replaceChildren(...this.parts(this.kept.answer));
    this.text.hidden = !this.kept.answer;
    this.waiting.hidden = Boolean(this.kept.answer) || !this.isOpen;
  }

  /** The answer as texts, and links for its citations. */
  parts(text) {
    const parts = [];
    let position = 0;
    for (const match of text.matchAll(CITATION)) {
      parts.push(text.slice(position, match.index));
      this.cited(match[1]).forEach(({ number, title, href }) => {
        const cited = link(href, 'citation', `[${number}]`);
        cited.title = title;
        parts.push(cited);
      });
      position = match.index + match[0].length;
    }
    parts.push(text.slice(position));
    return parts;
  }

  cited(numbers) {
    const wanted = numbers.split(/[,;]/).map(Number);
    return wanted.flatMap((number) => this.kept.sources.find((source) => source.number === number) ?? []);
  }

  /** Copies the answer and the sources that it cites. */
  async copyAll() {
    const { answer, pages } = this.kept;
    const sources = new Set([...answer.matchAll(CITATION)].flatMap((match) => this.cited(match[1])));
    const lines = [...(sources.size ? sources : pages)].map(
      ({ number, title, href }) => `${number ? `[${number}] ` : ''}${title} – ${href}`,
    );
    try {
      await copyText([answer, '', ...lines].join('\n').trim(), this.element);
      this.notify(this.texts.copied);
    } catch (error) {
      this.notify(this.texts.uncopied);
    }
    this.copy.focus();
  }

  async rate(isHelpful) {
    if (this.isRating) return;
    this.isRating = true;
    const before = this.kept.isHelpful;
    const now = before === isHelpful ? null : isHelpful;
    this.kept.isHelpful = now;
    this.refresh();
    this.comment.value = '';
    const isKept = await this.sendFeedback(now === null ? this.texts.taken : this.texts.thanks);
    if (!isKept) this.kept.isHelpful = before;
    this.feedback.hidden = !isKept || now === null;
    this.why.textContent = now ? this.texts.good : this.texts.bad;
    this.isRating = false;
    this.refresh();
    this.chat.keep();
  }

  async explain() {
    if (!(await this.sendFeedback(this.texts.thanks))) return;
    this.feedback.hidden = true;
    this.thumbs.get(this.kept.isHelpful)?.focus();
  }

  async sendFeedback(thanks) {
    const { exchange, isHelpful } = this.kept;
    const body = { exchange, is_helpful: isHelpful, comment: this.comment.value, locale: this.chat.lang };
    try {
      await this.chat.post('feedback', body);
      this.notify(thanks);
      return true;
    } catch (error) {
      this.notify(error instanceof Refused ? error.message : this.texts.failed);
      return false;
    }
  }

  notify(sentence) {
    this.remark.textContent = sentence;
    this.remark.hidden = false;
    this.chat.announce(sentence);
  }
}

/** <finetune-chat>: a conversation with the site; sources come first, then the answer as a stream. */
class FinetuneChat extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return;
    const { dataset } = this;
    this.texts = JSON.parse(dataset.texts);
    this.level = Number(dataset.heading) || 2;
    this.base = new URL(dataset.ask, document.baseURI).href;
    this.turns = [];
    this.count = 0;
    this.conversation = newId();
    this.build();
    window.addEventListener('pagehide', () => this.keep());
    window.addEventListener('pageshow', (event) => event.persisted && this.comeBack());
    this.start();
  }

  disconnectedCallback() {
    this.reading?.abort();
  }

  focus(options) {
    (this.dialog?.open === false ? this.opener : this.input).focus(options);
  }

  build() {
    const { texts } = this;
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [STYLES];
    this.list = make('div', { part: 'conversation' });
    this.input = make('input', { id: 'question', part: 'input', required: true, autocomplete: 'off' });
    this.label = make('label', { for: 'question', part: 'label' });
    this.send = button(texts, 'ask', 'submit');
    this.stop = button(texts, 'stop');
    this.again = button(texts, 'again', 'button', true);
    this.notice = make('p', { class: 'small', part: 'notice', hidden: true });
    this.form = make(
      'form',
      { part: 'form' },
      this.label,
      make('div', { class: 'line', part: 'line' }, this.input, this.send, this.stop),
      this.notice,
    );
    this.actions = make('div', { class: 'actions', part: 'actions' }, this.again);
    // Screen readers read the answer once it is complete, not word by word.
    this.status = make('p', { class: 'unseen', role: 'status' });
    // What was typed before this script was loaded.
    this.input.value = this.querySelector('input')?.value ?? '';
    this.replaceChildren();
    const parts = [this.list, this.form, this.actions, this.status];
    root.append(...(this.dataset.mode === 'dialog' ? this.buildDialog(parts) : parts));
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.ask(this.input.value.trim());
    });
    this.stop.addEventListener('click', () => this.reading?.abort());
    this.again.addEventListener('click', () => this.reset());
    this.refresh();
  }

  buildDialog(parts) {
    const { texts } = this;
    this.level += 1;
    this.opener = button(texts, 'open');
    this.opener.setAttribute('aria-haspopup', 'dialog');
    const close = button(texts, 'close');
    const title = make('h2', { id: 'title', part: 'title' }, texts.title);
    this.dialog = make(
      'dialog',
      { part: 'dialog', 'aria-labelledby': 'title' },
      make('div', { class: 'head', part: 'dialog-head' }, title, close),
      ...parts,
    );
    this.opener.addEventListener('click', () => this.open());
    close.addEventListener('click', () => this.dialog.close());
    this.dialog.addEventListener('click', (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener('close', () => this.opener.focus());
    return [this.opener, this.dialog];
  }

  /** Opens the dialog, if there is one. */
  open() {
    this.dialog?.showModal();
    this.input.focus();
    this.lookUp();
  }

  /** Restores the conversation of the previous page, or asks the page's question. */
  async start() {
    const { question } = this.dataset;
    const kept = this.readKept();
    if (kept && (!question || kept.turns[0].question === question)) {
      await this.lookUp();
      // If the site did not say who reads now, the next answer to lookUp() decides.
      if ((this.reader ?? kept.reader) === kept.reader && !this.turns.length) this.restore(kept);
    }
    if (question && !this.turns.length) this.ask(question);
    else this.lookUpWhenSeen();
  }

  /** The browser shows the page again from its back/forward cache. */
  comeBack() {
    this.lookingUp = undefined;
    this.lookUp();
  }

  lookUpWhenSeen() {
    this.addEventListener('focusin', () => this.lookUp(), { once: true });
    if (this.dialog) return;
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      this.lookUp();
    });
    observer.observe(this);
  }

  /**
   * Fetches what a page that is cached for everybody cannot hold: whether answers are on, the notice,
   * and who reads. A failure changes nothing, and the next call tries again.
   */
  lookUp() {
    this.lookingUp ??= this.fetchAbout();
    return this.lookingUp;
  }

  async fetchAbout() {
    let about;
    try {
      about = await this.get('about');
      if (typeof about.reader !== 'string') throw new TypeError('This is no answer of about/.');
    } catch (error) {
      this.lookingUp = undefined;
      return;
    }
    const { reader, notice, is_on: isOn, max_length: length } = about;
    // Somebody has logged in or out since.
    if (this.reader !== undefined && this.reader !== reader) this.forget();
    this.reader = reader;
    if (length) this.input.maxLength = length;
    this.isOff = isOn === false;
    this.notice.textContent = this.isOff ? this.texts.off : notice || '';
    this.notice.hidden = !this.notice.textContent;
    this.refresh();
    this.keep();
  }

  async ask(question) {
    if (this.reading || !question) return;
    if (this.isOff) {
      window.location.assign(this.searchUrl(question));
      return;
    }
    this.lookUp();
    const turn = new Turn(this, { question });
    this.turns.push(turn);
    this.list.append(turn.element);
    this.input.value = '';
    await this.run(turn);
  }

  /** Asks again. A lost answer keeps its id, so that it is not made twice. */
  async askAgain(turn) {
    if (this.reading) return;
    const isLost = turn.kept.outcome === 'lost';
    if (!isLost) turn.kept.id = newId();
    this.input.focus();
    await this.run(turn, isLost ? TRIES : 0);
  }

  /** Asks, with at most `tries` more attempts under the same id. */
  async run(turn, tries = 0) {
    this.reading = new AbortController();
    const { signal } = this.reading;
    // The pressed button will be hidden. If nothing here had the focus, leave it where it is.
    const focused = this.shadowRoot.activeElement;
    turn.begin();
    this.refresh();
    this.announce(this.texts.waiting);
    turn.element.scrollIntoView({ block: 'nearest' });
    if (focused && focused !== this.input) this.stop.focus();
    try {
      await this.read(turn, signal, tries);
      this.announce(`${this.texts.answer}: ${turn.text.textContent}`);
    } catch (error) {
      await this.fail(turn, error, signal);
    }
    const hadFocus = this.shadowRoot.activeElement === this.stop;
    this.reading = undefined;
    this.refresh();
    if (hadFocus) this.input.focus();
    this.keep();
  }

  async read(turn, signal, tries) {
    const response = await this.put(turn, signal);
    try {
      for await (const [name, data] of eventsOf(response)) {
        if (name === 'sources') turn.find(data);
        else if (name === 'text') turn.say(data);
        else if (name === 'failed') throw new Refused(data);
        else if (name === 'done') return await this.finish(turn, data.outcome);
      }
    } catch (error) {
      if (!tries || !['in_progress', 'interrupted'].includes(error.code)) throw error;
      // "interrupted": the answer ended with the connection, so a new one is asked for.
      // "in_progress": it is still being given, or the server has not noticed yet that it ended.
      const isOver = error.code === 'interrupted';
      if (isOver) turn.kept.id = newId();
      else await pause(PAUSE, signal);
      turn.begin();
      return this.read(turn, signal, isOver ? 0 : tries - 1);
    }
    throw new Error('The stream ended early.');
  }

  /** Ends the turn; without an answer, the closest pages are listed. */
  async finish(turn, outcome) {
    const { kept } = turn;
    if (outcome === 'no_answer' && !kept.pages.length) kept.pages = await this.findPages(kept.question);
    turn.end(outcome);
  }

  /** Sends the question, with the answered turns before it. */
  put(turn, signal) {
    const { lang: locale, conversation } = this;
    const { id, question } = turn.kept;
    const turns = this.turns
      .slice(0, this.turns.indexOf(turn))
      .filter((earlier) => earlier.isAnswered)
      .map((earlier) => ({ question: earlier.kept.question, answer: earlier.kept.answer }));
    if (turns.length) return this.post('conversation', { id, question, locale, conversation, turns }, signal);
    const body = new URLSearchParams({ id, q: question, locale, conversation });
    return this.request('ask', { method: 'POST', body, signal });
  }

  async fail(turn, error, signal) {
    if (signal.aborted) {
      turn.end('stopped', this.texts.stopped);
    } else {
      const isTold = error instanceof Refused;
      if (!turn.kept.pages.length) turn.kept.pages = await this.findPages(turn.kept.question);
      turn.end(isTold ? 'failed' : 'lost', isTold ? error.message : this.texts.lost);
    }
    this.announce(turn.kept.error);
  }

  /** The pages that match; none if the search fails. */
  async findPages(question) {
    try {
      const { results } = await this.get('results', { q: question });
      return results.map(({ title, url }) => ({ title, href: address(url, this.base) }));
    } catch (error) {
      return [];
    }
  }

  async get(name, query = {}) {
    const url = `?${new URLSearchParams({ ...query, locale: this.lang })}`;
    const response = await this.request(name, { signal: AbortSignal.timeout(PATIENCE) }, url);
    return response.json();
  }

  post(name, data, signal) {
    const headers = { 'Content-Type': 'application/json' };
    return this.request(name, { method: 'POST', headers, body: JSON.stringify(data), signal });
  }

  async request(name, options, query = '') {
    const response = await fetch(this.dataset[name] + query, options);
    if (response.ok) return response;
    let refusal = {};
    try {
      refusal = await response.json();
    } catch (error) {
      // The error page of a proxy is not JSON.
    }
    throw new Refused({ code: refusal.code, message: refusal.message || this.texts.failed });
  }

  searchUrl(question) {
    return `${this.dataset.search}?${new URLSearchParams({ q: question, answer: 'later' })}`;
  }

  get key() {
    return `finetune-chat ${this.base} ${this.lang}${this.dataset.question ? ' search' : ''}`;
  }

  /** Keeps the conversation for the next page in this tab. */
  keep() {
    const { conversation, reader } = this;
    if (reader === undefined) return;
    const turns = this.turns.slice(-MOST_KEPT).map((turn) => turn.kept);
    try {
      if (turns.length) sessionStorage.setItem(this.key, JSON.stringify({ reader, conversation, turns }));
      else sessionStorage.removeItem(this.key);
    } catch (error) {
      // Without storage the conversation ends with the page.
    }
  }

  readKept() {
    try {
      const kept = JSON.parse(sessionStorage.getItem(this.key));
      return kept?.turns.length ? kept : null;
    } catch (error) {
      return null;
    }
  }

  restore({ reader, conversation, turns }) {
    this.reader = reader;
    this.conversation = conversation;
    this.turns = turns.map((kept) => {
      // The reader left before the answer ended; the server may have all of it.
      const left = kept.outcome === 'open' && { outcome: 'lost', error: this.texts.stopped };
      return new Turn(this, { ...kept, ...left });
    });
    this.list.replaceChildren(...this.turns.map((turn) => turn.element));
    this.refresh();
    this.keep();
  }

  forget() {
    this.reading?.abort();
    this.turns = [];
    this.list.replaceChildren();
    this.conversation = newId();
    this.announce('');
    this.refresh();
    this.keep();
  }

  reset() {
    this.forget();
    this.input.value = '';
    this.input.focus();
  }

  announce(sentence) {
    this.status.textContent = sentence;
  }

  refresh() {
    const { texts, isOff } = this;
    const isReading = Boolean(this.reading);
    this.send.hidden = isReading;
    this.stop.hidden = !isReading;
    this.actions.hidden = isReading || !this.turns.length;
    this.label.textContent = this.turns.length ? texts.follow : texts.label;
    this.send.textContent = isOff ? texts.search : texts.ask;
  }
}

customElements.get('finetune-chat') ?? customElements.define('finetune-chat', FinetuneChat);
