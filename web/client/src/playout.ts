/** When a pose is shown: the newest one at once, or each at its time, a little later. Pure; times are milliseconds. */
import type { Frame } from './receiver.js';
import { SLOTS, type Pose, type Slot } from './pose.js';
import { percentiles } from './stream-stats.js';

/** `latest`: the least delay, with every shake of the network. `smooth`: even motion, later by what the network shakes. */
export type PlayoutMode = 'latest' | 'smooth';

const KEPT = 64;
const AGES = 120;
/** Added to the jitter: a frame that comes at its very last moment may be decoded after the picture was drawn. */
const MARGIN = 8;
const LONGEST_DELAY = 400;
/** Milliseconds by which the delay may change in a second: the eye does not see it. */
const SLEW = 60;
/** After so long without a frame nothing is shown any more. */
const GONE = 3000;
/** Frames further apart are a cut: nobody moves from one to the other. */
const CUT = 500;

/** Shows one stream. Give it each frame; ask it what to show at each moment. */
export class Playout {
  mode: PlayoutMode;
  /** Milliseconds between capture and show that `smooth` aims at. */
  delay = 0;
  #frames: Frame<Pose>[] = [];
  #ages: number[] = [];
  /** What nearly all frames take; NaN when there are newer ages. */
  #wanted = NaN;
  #interval = 33;
  #asked = 0;

  constructor(mode: PlayoutMode = 'smooth') {
    this.mode = mode;
  }

  push(frame: Frame<Pose>): void {
    const last = this.#frames.at(-1);
    if (last && frame.capturedAt <= last.capturedAt) return; // a clock that was set back: the next ones are newer
    if (last && frame.capturedAt - last.capturedAt < CUT) {
      this.#interval += 0.1 * (frame.capturedAt - last.capturedAt - this.#interval);
    }
    this.#frames.push(frame);
    if (this.#frames.length > KEPT) this.#frames.shift();
    this.#wanted = NaN;
    this.#ages.push(frame.age);
    if (this.#ages.length > AGES) this.#ages.shift();
  }

  /** Forgets all: the stream begins anew. */
  clear(): void {
    this.#frames = [];
    this.#ages = [];
    this.#wanted = NaN;
    this.delay = 0;
  }

  /** What to show at `now`, milliseconds since 1970; null when nobody is there. */
  at(now: number): Pose | null {
    const last = this.#frames.at(-1);
    if (!last || now - last.receivedAt > GONE) return null;
    if (this.mode === 'latest') return last.content;
    this.#adapt(now);
    const due = now - this.delay;
    // Two are needed: the last that is due, and the one after it.
    while (this.#frames.length > 1 && this.#frames[1].capturedAt <= due) this.#frames.shift();
    const [before, after] = this.#frames;
    if (!after || due <= before.capturedAt || after.capturedAt - before.capturedAt > CUT) return before.content;
    return between(before.content, after.content, (due - before.capturedAt) / (after.capturedAt - before.capturedAt));
  }

  /** The delay follows what nearly all frames take, and one frame more: to be between two, the next must be here. */
  #adapt(now: number): void {
    if (Number.isNaN(this.#wanted)) [this.#wanted] = percentiles(this.#ages, 0.95);
    const target = Math.min(LONGEST_DELAY, Math.max(0, this.#wanted + Math.min(this.#interval, 100) + MARGIN));
    const most = (SLEW * Math.min(1000, now - this.#asked)) / 1000;
    this.#asked = now;
    if (this.delay === 0 || Math.abs(target - this.delay) > LONGEST_DELAY / 2) this.delay = target;
    else this.delay += Math.max(-most, Math.min(most, target - this.delay));
  }
}

/** The pose that is `share` of the way from one to the other; parts that only one of them has are as they are there. */
export function between(a: Pose, b: Pose, share: number): Pose {
  if (a.skeleton !== b.skeleton) return share < 0.5 ? a : b;
  const result: { skeleton: string } & Record<Slot, Float32Array | null> = { skeleton: a.skeleton, pose: null, face: null, hands: null };
  for (const slot of SLOTS) {
    const [from, to] = [a[slot], b[slot]];
    if (!from || !to || from.length !== to.length) result[slot] = share < 0.5 ? from : to;
    else result[slot] = mixed(from, to, share);
  }
  return result;
}

function mixed(from: Float32Array, to: Float32Array, share: number): Float32Array {
  const out = new Float32Array(from.length);
  for (let i = 0; i < out.length; i++) {
    const value = from[i] + share * (to[i] - from[i]);
    // Lost or found in between: as it is at the nearer end.
    out[i] = Number.isNaN(value) ? (share < 0.5 ? from[i] : to[i]) : value;
  }
  return out;
}
