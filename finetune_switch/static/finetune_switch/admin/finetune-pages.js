/** A list of pages. Pages are added with Wagtail's page chooser, and can be removed. */
class FinetunePagesController extends window.StimulusModule.Controller {
  static targets = ['list', 'template', 'button', 'status'];
  static values = { url: String, model: String, added: String, removed: String };

  choose() {
    const options = { modelNames: [this.modelValue], multiple: true };
    new window.PageChooserModal(this.urlValue).open(options, (chosen) => {
      [chosen].flat().forEach((page) => this.add(page));
      this.buttonTarget.focus();
    });
  }

  add({ id, title, adminTitle }) {
    const there = [...this.listTarget.querySelectorAll('input')].map((input) => input.value);
    if (there.includes(String(id))) return;
    const item = this.templateTarget.content.cloneNode(true);
    item.querySelector('input').value = id;
    item.querySelectorAll('[data-finetune-pages-title]').forEach((place) => {
      place.textContent = ` ${adminTitle ?? title}`;
    });
    this.listTarget.append(item);
    this.changed(this.addedValue);
  }

  remove(event) {
    event.currentTarget.closest('li').remove();
    this.buttonTarget.focus();
    this.changed(this.removedValue);
  }

  changed(text) {
    this.statusTarget.textContent = text;
    // Triggers Wagtail's warning about unsaved changes.
    this.listTarget.dispatchEvent(new Event('change', { bubbles: true }));
  }
}

window.wagtail.app.register('finetune-pages', FinetunePagesController);
