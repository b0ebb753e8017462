const CITATION = /\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]/g;

// Not a <style> element, which a strict Content-Security-Policy refuses.
const STYLES = new CSSStyleSheet();
STYLES.replaceSync(`
  :host {
    display: block;
    color: var(--finetune-chat-color, inherit);
    font: var(--finetune-chat-font, inherit);
  }
  [hidden] { display: none !important; }
  form { display: grid; gap: 0.4em; }
  .line { display: flex; flex-wrap: wrap; gap: 0.5em; }
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
    background: var(--finetune-chat-button, ButtonFace);
    color: var(--finetune-chat-button-color, ButtonText);
    cursor: pointer;
  }
  a { color: var(--finetune-chat-link, inherit); }
  :focus-visible { outline: 3px solid var(--finetune-chat-focus, currentColor); outline-offset: 2px; }
  h2, h3 { margin: 1em 0 0.3em; font-size: 1em; overflow-wrap: anywhere; }
  p { margin: 0.5em 0; overflow-wrap: anywhere; }
  ol { margin: 0.3em 0; padding-inline-start: 2em; }
  li { padding-block: 0.15em; }
  .text { white-space: pre-wrap; }
  .error { padding-inline-start: 0.7em; border-inline-start: 4px solid; }
  .small { font-size: 0.875em; }
  .actions { display: flex; gap: 0.5em; margin-block-start: 0.8em; }
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
`);

/** An element with its attributes and children; a text stays text, whatever is written in it. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  Object.entries(attributes).forEach(([key, value]) => {
    if (value === true) element.setAttribute(key, '');
    else if (value !== false) element.setAttribute(key, value);
  });
  element.append(...children);
  return element;
}

/** A link to a page, or just its name where its address is none of the web's. */
function link(url, part, ...children) {
  const target = URL.canParse(url, document.baseURI) ? new URL(url, document.baseURI) : null;
  const leads = url && target && ['http:', 'https:'].includes(target.protocol);
  return leads ? make('a', { href: target.href, part }, ...children) : make('span', { part }, ...children);
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

/** A sentence that is meant for the visitor. */
class Refused extends Error {}

/** <finetune-chat>: a question, the pages that match it at once, and the answer as it comes. */
class FinetuneChat extends HTMLElement {
  connectedCallback() {
    if (this.shadowRoot) return;
    this.texts = JSON.parse(this.dataset.texts);
    this.build();
  }

  disconnectedCallback() {
    this.abort?.abort();
  }

  build() {
    const { texts } = this;
    const root = this.attachShadow({ mode: 'open', delegatesFocus: true });
    root.adoptedStyleSheets = [STYLES];
    const button = (name, type = 'button') => make('button', { type, part: `button ${name}` }, texts[name]);
    this.input = make('input', { id: 'question', part: 'input', required: true, autocomplete: 'off' });
    this.send = button('ask', 'submit');
    this.stop = button('stop');
    this.again = button('again');
    this.form = make(
      'form',
      { part: 'form' },
      make('label', { for: 'question', part: 'label' }, texts.label),
      make('div', { class: 'line', part: 'line' }, this.input, this.send),
    );
    this.asked = make('h2', { part: 'question' });
    this.waiting = make('p', { class: 'waiting', part: 'waiting' }, texts.waiting);
    this.text = make('p', { class: 'text', part: 'text' });
    this.error = make('p', { class: 'error', part: 'error' });
    this.pages = make('ol', { part: 'sources' });
    this.heading = make('h3', { part: 'sources-heading' }, texts.pages);
    this.destination = make('p', { class: 'small', part: 'destination' });
    this.result = make(
      'section',
      { part: 'answer', hidden: true },
      this.asked,
      this.waiting,
      this.text,
      this.error,
      this.heading,
      this.pages,
      this.destination,
      make('div', { class: 'actions', part: 'actions' }, this.stop, this.again),
    );
    // Read out once, when the answer is whole: not word by word.
    this.status = make('p', { class: 'unseen', role: 'status' });
    // What was typed before this script had come.
    this.input.value = this.querySelector('input')?.value ?? '';
    this.replaceChildren();
    root.append(this.form, this.result, this.status);
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.ask(this.input.value.trim());
    });
    this.stop.addEventListener('click', () => this.abort?.abort());
    this.again.addEventListener('click', () => this.reset());
  }

  async ask(question) {
    if (this.abort || !question) return;
    this.abort = new AbortController();
    const { signal } = this.abort;
    this.begin(question);
    try {
      await this.read(question, signal);
      this.status.textContent = `${this.texts.answer}: ${this.text.textContent}`;
    } catch (error) {
      if (signal.aborted) this.fail(this.texts.stopped);
      else this.fail(error instanceof Refused ? error.message : this.texts.lost, question);
    }
    this.end();
  }

  begin(question) {
    this.said = '';
    this.sources = new Map();
    this.asked.textContent = question;
    [this.text, this.error, this.pages, this.destination].forEach((element) => element.replaceChildren());
    this.show({ result: true, waiting: true, stop: true, send: false, again: false });
    this.show({ heading: false, text: false, error: false, destination: false });
    this.status.textContent = this.texts.waiting;
    // The button that was pressed is gone.
    if (this.shadowRoot.activeElement !== this.input) this.stop.focus();
  }

  async read(question, signal) {
    const body = new URLSearchParams({ q: question, locale: this.lang });
    const response = await fetch(this.dataset.ask, { method: 'POST', body, signal });
    if (!response.ok) throw new Refused(await this.refusal(response));
    for await (const [name, data] of eventsOf(response)) {
      if (name === 'sources') this.showPages(data);
      else if (name === 'text') this.say(data.text);
      else if (name === 'failed') throw new Refused(data.message);
      else if (name === 'done') return;
    }
    throw new Error('The stream ended early.');
  }

  /** The sentence that a refusal brings, where it does: a proxy's page is no sentence. */
  async refusal(response) {
    try {
      return (await response.json()).message || this.texts.failed;
    } catch (error) {
      return this.texts.failed;
    }
  }

  /** The pages that the passages came from, each once, under the number that is cited first. */
  showPages({ passages, data_destination: destination }) {
    const pages = new Map();
    passages.forEach(({ number, source }) => {
      this.sources.set(number, source);
      const page = `${source.model} ${source.object_id}`;
      if (!pages.has(page)) pages.set(page, { number, source });
    });
    this.pages.replaceChildren(
      ...[...pages.values()].map(({ number, source }) =>
        make('li', { value: number }, link(source.url, 'source', source.title)),
      ),
    );
    this.destination.textContent = `${this.texts.destination} ${destination}`;
    this.show({ heading: pages.size > 0, destination: Boolean(destination) });
  }

  say(text) {
    this.said += text;
    this.text.replaceChildren(...this.parts(this.said));
    this.show({ text: true, waiting: false });
  }

  /** The answer as words and links, with the numbers of its citations. */
  parts(text) {
    const parts = [];
    let position = 0;
    for (const match of text.matchAll(CITATION)) {
      parts.push(text.slice(position, match.index));
      match[1].split(/[,;]/).map(Number).forEach((number) => {
        const source = this.sources.get(number);
        if (!source) return;
        const cited = link(source.url, 'citation', `[${number}]`);
        cited.title = source.title;
        parts.push(cited);
      });
      position = match.index + match[0].length;
    }
    parts.push(text.slice(position));
    return parts;
  }

  /** Says what went wrong and, with a question, where it can be looked for. */
  fail(sentence, question) {
    this.error.replaceChildren(sentence);
    if (question) {
      const url = `${this.dataset.search}?${new URLSearchParams({ q: question })}`;
      this.error.append(' ', link(url, 'search', this.texts.search));
    }
    this.status.textContent = sentence;
    this.show({ error: true });
  }

  end() {
    const hadFocus = this.shadowRoot.activeElement === this.stop;
    this.abort = undefined;
    this.show({ waiting: false, stop: false, send: true, again: true });
    if (hadFocus) this.again.focus();
  }

  reset() {
    this.input.value = '';
    this.status.textContent = '';
    this.show({ result: false });
    this.input.focus();
  }

  show(shown) {
    Object.entries(shown).forEach(([name, isShown]) => {
      this[name].hidden = !isShown;
    });
  }
}

customElements.get('finetune-chat') ?? customElements.define('finetune-chat', FinetuneChat);
