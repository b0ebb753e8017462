/** Lists the models of the selected connection's server next to the model name field. */
class FinetuneModelsController extends window.StimulusModule.Controller {
  static targets = ['options', 'button', 'status', 'list'];
  static values = {
    url: String,
    waiting: String,
    none: String,
    found: String,
    failed: String,
  };

  connect() {
    // The list is that of the previous connection's server.
    this.forget = () => {
      this.abort?.abort();
      this.optionsTarget.replaceChildren();
      this.say('');
    };
    this.connection?.addEventListener('change', this.forget);
  }

  disconnect() {
    this.connection?.removeEventListener('change', this.forget);
    this.abort?.abort();
  }

  get input() {
    return this.element.querySelector('input');
  }

  get connection() {
    return this.input.form?.elements.connection;
  }

  async show() {
    // `disabled` would take the keyboard focus away from the button.
    if (this.buttonTarget.getAttribute('aria-disabled')) return;
    const connection = this.connection?.value ?? '';
    this.abort?.abort();
    const abort = new AbortController();
    this.abort = abort;
    this.say(this.waitingValue);
    this.buttonTarget.setAttribute('aria-disabled', 'true');
    try {
      const url = `${this.urlValue}?${new URLSearchParams({ connection })}`;
      const response = await fetch(url, {
        headers: { 'X-Requested-With': 'XMLHttpRequest' },
        signal: abort.signal,
      });
      const data = await response.json();
      if (response.ok) this.list(data.models);
      else this.say(data.message ?? this.failedValue);
    } catch (error) {
      if (error.name !== 'AbortError') this.say(this.failedValue);
    } finally {
      if (this.abort === abort) this.buttonTarget.removeAttribute('aria-disabled');
    }
  }

  list(models) {
    this.say(models.length ? this.foundValue : this.noneValue);
    this.optionsTarget.replaceChildren(
      ...models.map(({ name }) => Object.assign(document.createElement('option'), { value: name })),
    );
    this.listTarget.replaceChildren(...models.map((model) => this.item(model)));
    this.listTarget.hidden = models.length === 0;
  }

  item({ name, note }) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'button button-small button-secondary';
    button.textContent = note ? `${name} (${note})` : name;
    button.addEventListener('click', () => {
      this.input.value = name;
      this.input.dispatchEvent(new Event('change', { bubbles: true }));
      this.input.focus();
    });
    const item = document.createElement('li');
    item.append(button);
    return item;
  }

  say(text) {
    this.listTarget.hidden = true;
    this.statusTarget.textContent = text;
  }
}

window.wagtail.app.register('finetune-models', FinetuneModelsController);
