/** What is written around a person. Names are text, whatever is in them. */
import type { Member } from '@posewire/client';

export function element<Name extends keyof HTMLElementTagNameMap>(name: Name, className = '', text = ''): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

export class Tile {
  readonly root = element('article', 'tile');
  /** Where the person is drawn. */
  readonly place = element('div', 'place');
  readonly #name = element('h2');
  readonly #role = element('span', 'role');
  readonly #note = element('p', 'note');
  readonly #figures = element('p', 'figures');

  constructor(userId: string) {
    this.root.tabIndex = 0;
    this.root.dataset.user = userId;
    this.root.setAttribute('role', 'group');
    this.#name.textContent = userId;
    const head = element('header');
    head.append(this.#name, this.#role);
    this.root.append(head, this.place, this.#note, this.#figures);
  }

  update(member: Member, figures: string, note: string): void {
    const role = member.role === 'host' ? 'host' : member.publish ? '' : 'watches';
    this.#role.textContent = role;
    this.#role.hidden = role === '';
    this.#note.textContent = note || member.status;
    this.#figures.textContent = figures;
    this.root.classList.toggle('away', !member.present);
    this.root.setAttribute('aria-label', [member.id, role, note, figures].filter(Boolean).join(', '));
  }

  /** Lights the ring: 0 is silence, 1 as loud as can be. */
  speak(level: number): void {
    const rounded = level < 0.02 ? '0' : level.toFixed(2);
    if (this.root.style.getPropertyValue('--level') !== rounded) this.root.style.setProperty('--level', rounded);
  }
}
