/** Who is in the room: for each, a figure, a tile, and what of them is to be shown now. */
import { Playout, levelOf, type Frame, type AudioChunk, type Pose, type PlayoutMode, type Session } from '@posewire/client';
import { Figure, paletteOf } from './figure';
import type { Row } from './panel';
import { QualitySeen } from './quality';
import type { Place, Stage } from './stage';
import { Tile } from './tile';
import type { ViewMode } from './view-mode';

/** A person is so many times as tall as broad. */
const TALL = 1.4;
/** The ring goes out in some tenths of a second. */
const FADE = 6;

interface Stream {
  readonly playout: Playout;
  readonly quality: QualitySeen;
  newest: Pose | null;
  capturedAt: number;
  /** Milliseconds between two captures, lately: when they arrive says less, for they come in bursts. */
  interval: number;
}

class Person {
  readonly figure: Figure;
  readonly tile: Tile;
  readonly streams = new Map<string, Stream>();
  level = 0;
  shown = 0;
  pose: Pose | null = null;

  constructor(
    readonly userId: string,
    readonly hue: number,
    dark: boolean,
  ) {
    this.figure = new Figure(paletteOf(hue, dark));
    this.tile = new Tile(userId);
  }
}

/** Colours that go together and can be told apart; who comes takes the first that is free. */
const HUES = [172, 268, 338, 212, 20, 140, 300, 44];

export class People {
  mode: PlayoutMode = 'smooth';
  readonly #grid: HTMLElement;
  readonly #stage: Stage | null;
  readonly #people = new Map<string, Person>();
  #dark = false;
  #large: string | null = null;

  constructor(grid: HTMLElement, stage: Stage | null) {
    this.#grid = grid;
    this.#stage = stage;
  }

  /** How many are shown. */
  get count(): number {
    return this.#people.size;
  }

  set dark(dark: boolean) {
    this.#dark = dark;
    for (const person of this.#people.values()) person.figure.palette = paletteOf(person.hue, dark);
  }

  pose({ userId, stream, ...frame }: Frame<Pose>): void {
    const person = this.#people.get(userId);
    if (!person) return;
    let found = person.streams.get(stream);
    if (!found) person.streams.set(stream, (found = { playout: new Playout(this.mode), quality: new QualitySeen(), newest: null, capturedAt: 0, interval: 0 }));
    noteInterval(found, frame.capturedAt);
    found.newest = frame.content;
    found.playout.push({ userId, stream, ...frame });
  }

  audio({ userId, content }: Frame<AudioChunk>): void {
    const person = this.#people.get(userId);
    if (person) person.level = Math.max(person.level, levelOf(content));
  }

  /** Shows those who are in the room and send, or could: all but ourselves. */
  sync(session: Session): void {
    const here = new Set<string>();
    for (const member of session.room.members.values()) {
      const sends = [...session.room.streams.values()].some(({ userId }) => userId === member.id);
      if (member.id === session.userId || (!sends && !member.publish)) continue;
      here.add(member.id);
      if (!this.#people.has(member.id)) this.#add(member.id);
    }
    for (const [userId, person] of this.#people) if (!here.has(userId)) this.#remove(userId, person);
    this.#layOut();
  }

  /** Shows one large, or all again. */
  enlarge(userId: string | null): void {
    this.#large = userId !== null && this.#large !== userId && this.#people.has(userId) ? userId : null;
    this.#layOut();
  }

  /** Shows each in a tile, or all in one space. */
  set view(view: ViewMode) {
    if (this.#stage) this.#stage.mode = view;
    this.#layOut();
  }

  /** Moves everybody to where they are at `now`, milliseconds since 1970; `seconds` since the last time. Whether anybody moved. */
  move(now: number, seconds: number): boolean {
    let moved = false;
    for (const person of this.#people.values()) {
      const playouts = [...person.streams.values()].map(({ playout }) => playout);
      let pose: Pose | null = null;
      for (const playout of playouts) {
        playout.mode = this.mode;
        pose = merged(pose, playout.at(now));
      }
      moved ||= pose !== null && person.pose !== null && pose !== person.pose;
      person.pose = pose;
      person.figure.show(pose, seconds);
      person.shown = pose ? person.shown + 1 : 0;
      person.level *= Math.exp(-FADE * seconds);
      person.tile.speak(person.level);
    }
    return moved;
  }

  get places(): Place[] {
    return [...this.#people].map(([userId, { figure, tile }]) => ({
      figure, element: tile.place, name: tile.root, large: userId === this.#large,
    }));
  }

  /** Writes the figures to the tiles, and returns those of every stream. */
  figures(session: Session): Row[] {
    const rows: Row[] = [];
    for (const stats of session.stats()) {
      const person = this.#people.get(stats.userId);
      if (!person) continue;
      const stream = person.streams.get(stats.stream);
      const rate = stream?.interval && stats.fps > 0 ? 1000 / stream.interval : 0;
      const seen = { fps: rate, bits: stats.bits, face: stream?.newest?.face != null, hands: stream?.newest?.hands != null };
      rows.push({ ...stats, key: `${stats.userId}\n${stats.stream}`, quality: stream ? stream.quality.observe(seen) : 0 });
    }
    for (const member of session.room.members.values()) {
      const person = this.#people.get(member.id);
      const row = rows.find(({ userId }) => userId === member.id);
      const note = !member.present ? 'connection lost, seat held' : person?.shown ? '' : row && row.fps > 0 ? 'nobody in the picture' : 'sends nothing';
      person?.tile.update(member, row && row.fps > 0 ? `${Math.round(row.ageP50)} ms · ${Math.round(row.fps)} /s` : '', note);
    }
    // In the order of the tiles, not in which they were first heard.
    const order = [...this.#people.keys()];
    return rows.sort((a, b) => order.indexOf(a.userId) - order.indexOf(b.userId));
  }

  #add(userId: string): void {
    const taken = new Set([...this.#people.values()].map(({ hue }) => hue));
    const hue = HUES.find((each) => !taken.has(each)) ?? HUES[this.#people.size % HUES.length];
    const person = new Person(userId, hue, this.#dark);
    person.figure.group.visible = false;
    person.tile.root.addEventListener('dblclick', () => this.enlarge(userId));
    this.#people.set(userId, person);
    this.#stage?.add(person.figure, person.tile.place);
    this.#grid.append(person.tile.root);
  }

  #remove(userId: string, person: Person): void {
    this.#people.delete(userId);
    this.#stage?.remove(person.figure, person.tile.place);
    person.tile.root.remove();
    if (this.#large === userId) this.#large = null;
  }

  #layOut(): void {
    const count = this.#large === null ? this.#people.size : 1;
    this.#grid.style.setProperty('--columns', String(columnsFor(count, this.#grid.clientWidth, this.#grid.clientHeight)));
    const space = this.#stage?.mode === 'space';
    for (const [userId, { tile }] of this.#people) {
      tile.root.hidden = !space && this.#large !== null && this.#large !== userId;
      if (!space) tile.root.style.transform = '';
    }
    this.#stage?.laidOut();
  }
}

/** How many tiles go side by side, for each to show a person as large as can be. */
export function columnsFor(count: number, width: number, height: number): number {
  let [best, largest] = [1, 0];
  for (let columns = 1; columns <= count; columns++) {
    const size = Math.min((TALL * width) / columns, height / Math.ceil(count / columns));
    if (size > largest) [best, largest] = [columns, size];
  }
  return best;
}

function noteInterval(stream: Stream, capturedAt: number): void {
  const interval = capturedAt - stream.capturedAt;
  stream.capturedAt = Math.max(capturedAt, stream.capturedAt);
  if (interval > 0 && interval < 2000) stream.interval += (stream.interval ? 0.05 : 1) * (interval - stream.interval);
}

/** Streams of one member are parts of one person: one may send the body, another the hands. */
function merged(a: Pose | null, b: Pose | null): Pose | null {
  if (!a || !b) return a ?? b;
  return { skeleton: a.pose ? a.skeleton : b.skeleton, pose: a.pose ?? b.pose, face: a.face ?? b.face, hands: a.hands ?? b.hands };
}
