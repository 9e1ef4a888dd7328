/**
 * How much may be under way: "Keeping up" of docs/wire.md. The window is what the link delivers in its least round trip and
 * the time a queue may last. A short form of `posewire/flow/credit_window.py`. Pure; times are milliseconds.
 */

const INITIAL = 4096;
const LARGEST = 1 << 20;
const QUEUEING = 30;
const ACK_DELAY = 20;
const RATE_MS = 500;
const LEAST_MS = 10_000;

interface Sent {
  readonly total: number;
  readonly at: number;
  readonly delivered: number;
  readonly deliveredAt: number;
}

export class Credit {
  window = INITIAL;
  /** Bytes that are known to have come. */
  acknowledged = 0;
  sent = 0;
  #underWay: Sent[] = [];
  #deliveredAt = 0;
  #rates: { at: number; rate: number }[] = [];
  #least = Infinity;
  #leastAt = 0;
  #limited = false;

  get inFlight(): number {
    return this.sent - this.acknowledged;
  }

  /** Whether a packet of `size` bytes may go. One always may when nothing is under way. */
  takes(size: number): boolean {
    if (this.inFlight === 0 || this.inFlight + size <= this.window) return true;
    this.#limited = true;
    return false;
  }

  count(size: number, now: number): void {
    if (this.inFlight === 0) this.#deliveredAt = now; // idle time says nothing about the link
    this.sent += size;
    this.#underWay.push({ total: this.sent, at: now, delivered: this.acknowledged, deliveredAt: this.#deliveredAt });
  }

  /** Takes an `ack` in. `held`: milliseconds that it was kept back. */
  ack(total: number, held: number, now: number): void {
    let newest: Sent | undefined;
    while (this.#underWay.length && this.#underWay[0].total <= total) newest = this.#underWay.shift();
    this.acknowledged = Math.min(this.sent, Math.max(total, this.acknowledged));
    if (!newest) return;
    const came = Math.max(now - held, newest.at + 0.001);
    const roundTrip = came - newest.at;
    if (roundTrip <= this.#least || now - this.#leastAt > LEAST_MS) [this.#least, this.#leastAt] = [roundTrip, now];
    this.#rates.push({ at: now, rate: (this.acknowledged - newest.delivered) / Math.max(came - newest.deliveredAt, roundTrip) });
    this.#rates = this.#rates.filter(({ at }) => now - at < RATE_MS);
    this.#deliveredAt = came;
    this.#adapt(roundTrip);
  }

  /** Begins anew with a new connection. */
  reset(): void {
    Object.assign(this, { window: INITIAL, acknowledged: 0, sent: 0 });
    this.#underWay = [];
    this.#rates = [];
    this.#least = Infinity;
    this.#limited = false;
  }

  #adapt(roundTrip: number): void {
    const best = Math.max(...this.#rates.map(({ rate }) => rate));
    const window = best * (this.#least + ACK_DELAY + QUEUEING);
    const queued = roundTrip > this.#least + 2 * QUEUEING;
    if (queued) this.window = Math.max(INITIAL, window); // what comes at best is what the link takes
    else this.window = Math.max(this.window, window, this.#limited ? 1.25 * this.window : 0);
    this.window = Math.min(LARGEST, this.window);
    this.#limited = false;
  }
}
