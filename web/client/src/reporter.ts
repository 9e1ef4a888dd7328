/** Tells the server, and through it the senders, how everything comes through here. */
import type { StreamStats } from './stream-stats.js';

const MS = 1000;
const MS_LATE = 200;
/** Milliseconds of queueing from which on frames come late. */
const LATE = 50;
const MOST_STREAMS = 256;
/** How many packets may come without a report: a page in the background has no timers to speak of. */
const CHECK_EVERY = 8;

export interface ReportedStream {
  readonly member: number;
  readonly stream: number;
  readonly stats: StreamStats;
}

/** Reports within a second of each frame, within a fifth of one while they come late. */
export class Reporter {
  readonly #tell: (name: string, data: unknown) => boolean;
  readonly #streams: () => Iterable<ReportedStream>;
  readonly #random: () => number;
  #due = Infinity;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #packets = 0;

  constructor(tell: (name: string, data: unknown) => boolean, streams: () => Iterable<ReportedStream>, random = Math.random) {
    this.#tell = tell;
    this.#streams = streams;
    this.#random = random;
  }

  /** Notes a frame after it was counted. `now`: milliseconds of a steady clock. */
  observe(stats: StreamStats, now: number): void {
    if (stats.newestQueueing >= LATE && stats.queueing >= LATE) {
      if (this.#due > now + MS_LATE) this.#reportIn(MS_LATE, now);
    } else this.heard(now);
    // A browser slows the timers of a page nobody looks at down, to one a minute; what comes is handled all the same.
    if (++this.#packets % CHECK_EVERY === 0 && now >= this.#due) this.report();
  }

  /** Notes a packet that could not be opened: the server must not take silence about it for not reading. */
  heard(now: number): void {
    if (this.#timer === undefined) this.#reportIn(MS, now);
  }

  report(): void {
    this.close();
    const streams = [];
    for (const { member, stream, stats } of this.#streams()) {
      const interval = stats.interval();
      if (interval.frames && streams.length < MOST_STREAMS) {
        streams.push({
          member, stream, seq: interval.seq, frames: interval.frames, lost: interval.lost,
          age_p50: interval.ageP50, age_p99: interval.ageP99, queueing: interval.queueing, render_lag: interval.renderLag,
        });
      }
    }
    this.#tell('report', { streams });
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = Infinity;
  }

  #reportIn(ms: number, now: number): void {
    this.close();
    const wait = ms * (0.5 + this.#random() / 2); // whoever watches the same stream would report at the same moment
    this.#due = now + wait;
    this.#timer = setTimeout(() => this.report(), wait);
  }
}
