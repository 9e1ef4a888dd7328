/** The figures of every stream, as numbers and as lines. */
import { STEPS } from './quality';
import { Sparkline } from './sparkline';
import { element } from './tile';

/** What is shown of one stream. Ages are milliseconds. */
export interface Row {
  readonly key: string;
  readonly userId: string;
  readonly stream: string;
  readonly ageP50: number;
  readonly ageP95: number;
  readonly ageP99: number;
  readonly fps: number;
  readonly bytesPerSecond: number;
  readonly lost: number;
  readonly quality: number;
}

interface Measure {
  readonly name: string;
  readonly least: number;
  readonly of: (row: Row) => number;
  readonly text: (row: Row) => string;
}

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
const rate = (bytes: number): string => (bytes < 10_000 ? `${(bytes / 1000).toFixed(1)} kB/s` : `${Math.round(bytes / 1000)} kB/s`);

const MEASURES: readonly Measure[] = [
  { name: 'Age p50', least: 20, of: (row) => row.ageP50, text: (row) => ms(row.ageP50) },
  { name: 'Age p95', least: 20, of: (row) => row.ageP95, text: (row) => ms(row.ageP95) },
  { name: 'Age p99', least: 20, of: (row) => row.ageP99, text: (row) => ms(row.ageP99) },
  { name: 'Frames', least: 30, of: (row) => row.fps, text: (row) => `${row.fps.toFixed(1)} /s` },
  { name: 'Bytes', least: 1000, of: (row) => row.bytesPerSecond, text: (row) => rate(row.bytesPerSecond) },
  { name: 'Dropped', least: 5, of: (row) => row.lost, text: (row) => String(row.lost) },
  { name: 'Quality', least: STEPS.length - 1, of: (row) => STEPS.length - 1 - row.quality, text: (row) => STEPS[row.quality] },
];

class Card {
  readonly root = element('section', 'card');
  readonly #cells = MEASURES.map(({ name, least }) => {
    const line = new Sparkline(least);
    const value = element('span', 'value');
    const row = element('div', 'measure');
    row.append(element('span', 'label', name), line.root, value);
    return { row, line, value };
  });

  constructor(userId: string, stream: string) {
    const title = element('h3', '', userId);
    title.append(element('span', 'stream', ` ${stream}`));
    this.root.append(title, ...this.#cells.map(({ row }) => row));
  }

  update(row: Row): void {
    MEASURES.forEach(({ of, text }, i) => {
      this.#cells[i].line.push(of(row));
      this.#cells[i].value.textContent = text(row);
    });
  }
}

export class Panel {
  readonly #root: HTMLElement;
  readonly #cards = new Map<string, Card>();
  readonly #page = element('p', 'page');

  constructor(root: HTMLElement) {
    this.#root = root;
    root.append(this.#page);
  }

  /** Shows the streams there are; `page`: a line about the page itself. */
  update(rows: readonly Row[], page: string): void {
    this.#page.textContent = page;
    const keys = new Set(rows.map(({ key }) => key));
    for (const [key, card] of this.#cards) {
      if (keys.has(key)) continue;
      card.root.remove();
      this.#cards.delete(key);
    }
    for (const row of rows) {
      let card = this.#cards.get(row.key);
      if (!card) {
        this.#cards.set(row.key, (card = new Card(row.userId, row.stream)));
        this.#root.insertBefore(card.root, this.#page);
      }
      card.update(row);
    }
  }
}
