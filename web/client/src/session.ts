/** Being in a room: joined, joined again when the connection was lost, told who is there, and what they do. */
import { encodeEventV2 } from './body-v2.js';
import { localUs, ServerClock } from './clock.js';
import { Emitter } from './emitter.js';
import { PosewireError, messageOf } from './errors.js';
import { Keyframes } from './keyframes.js';
import { Link, type LinkState } from './link.js';
import { tokenSource, type Credentials } from './login.js';
import { Opener, roomKey } from './opener.js';
import { canEncodeOpus } from './opus-coder.js';
import { AudioPublisher, PosePublisher, type AudioOptions, type PoseOptions } from './publishers.js';
import { Receiver, type ReceiverEvents } from './receiver.js';
import { Reporter } from './reporter.js';
import { Resumption } from './resumption.js';
import { RoomState, type Change, type Member } from './room-state.js';
import { SealKey, asRoomKey, canSeal, newSalt } from './seal.js';
import { asBytes } from './socket-parser.js';
import type { StreamFigures } from './stream-stats.js';
import { Uplink } from './uplink.js';

export type SessionOptions = Credentials & {
  /** `http(s)://host:port` of the server. */
  readonly url: string;
  readonly room: string;
  /** Makes the room when there is none; true unless it is said otherwise. */
  readonly create?: boolean;
  /** Bytes, or a passphrase: the room is sealed from end to end. */
  readonly roomKey?: Uint8Array | string;
};

export interface SessionEvents extends ReceiverEvents {
  /** How the connection is; `session.reason` says why. */
  state: LinkState;
  /** Somebody came, went or changed; `change` is as on the wire, `snapshot` when all is new. */
  presence: Change;
  /** The server lets something go, because we are over a limit. */
  notice: string;
  /** How our streams come through. */
  report: unknown;
}

/** Figures of one received stream. */
export interface StreamReport extends StreamFigures {
  readonly userId: string;
  readonly stream: string;
  /** Nine precisions of its newest keyframe of version 3: pose, face, hands; each x and y, z, visibility. */
  readonly bits: readonly number[];
}

const CLOCK_EXCHANGES = 8;
const CLOCK_EVERY = 5000;
/** A token is renewed when this share of its time is over. */
const RENEW_AT = 0.8;
const MOST_EARLY = 256;
const KEY_EVENT = 'posewire:key';
const EMPTY = new Uint8Array(0);

/** One member's session. Make it with `connect`. */
export class Session extends Emitter<SessionEvents> {
  readonly room = new RoomState();
  readonly clock = new ServerClock();
  userId = '';
  /** Our number in the room; 0 while we are in none. */
  number = 0;
  readonly #options: SessionOptions;
  readonly #source: ReturnType<typeof tokenSource>;
  readonly #link: Link;
  readonly #opener: Opener;
  readonly #receiver: Receiver;
  readonly #reporter: Reporter;
  readonly #resumption: Resumption;
  readonly #uplink: Uplink;
  readonly #publishers: (PosePublisher | AudioPublisher)[] = [];
  readonly #desk;
  #secret: Uint8Array | null = null;
  #salt: Uint8Array | null = null;
  #syncing = false;
  /** What came before the answer that says whose it is. */
  #early: (() => void)[] | null = null;
  #clockTimer: ReturnType<typeof setInterval> | undefined;
  #tokenTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SessionOptions) {
    super();
    this.#options = options;
    this.#source = tokenSource(options.url, options);
    const sessionId = Array.from(newSalt(), (byte) => byte.toString(16).padStart(2, '0')).join('');
    this.#link = new Link({
      url: options.url, sessionId, token: this.#source.next, renewable: this.#source.renewable, greet: () => this.#greet(),
    });
    const request = (name: string, argument: unknown) => this.#link.request(name, argument);
    const tell = (name: string, argument: unknown) => this.#link.tell(name, argument);
    this.#opener = new Opener(this.room);
    this.#reporter = new Reporter(tell, () => this.#reported());
    const toLocal = (server: number) => this.clock.toLocal(server);
    const toServer = (local: number) => this.clock.toServer(local);
    this.#receiver = new Receiver(this.#opener, new Keyframes(request), this.#reporter, { now: localUs, toLocal, toServer });
    this.#resumption = new Resumption(tell);
    this.#uplink = new Uplink({ tell, request, now: () => performance.now() });
    this.#uplink.onCredit = () => this.#pump();
    this.#desk = {
      open: async (kind: string, name: string) => Number(await request('stream.open', { kind, name })),
      toServer: (ms: number) => this.clock.toServer(1000 * ms),
    };
    this.#wire();
  }

  get state(): LinkState {
    return this.#link.state;
  }

  /** Why the connection is not there, for people. */
  get reason(): string {
    return this.#link.reason;
  }

  /** What could not be read, by the words of docs/wire.md. */
  get drops(): ReadonlyMap<string, number> {
    return this.#receiver.drops;
  }

  /** Milliseconds that packets took to be read so far, WebCrypto aside: what a page that draws is short of. */
  get spent(): number {
    return this.#receiver.spent;
  }

  /** Connects and joins; waits until that is done. Throws when the server refuses; goes on trying when it is not there. */
  async open(): Promise<void> {
    if (this.#options.roomKey !== undefined) {
      this.#secret = await asRoomKey(this.#options.roomKey, this.#options.room);
      this.#opener.useRoomKey(await roomKey(this.#secret, this.#options.room), 0);
    }
    const running = this.#link.run();
    const connected = new Promise<void>((resolve) => {
      const off = this.#link.on('state', (state) => {
        if (state !== 'connected' && state !== 'closed') return;
        off();
        resolve();
      });
    });
    running.catch(() => undefined); // the state and the reason say it to those who came later
    await Promise.race([running, connected]);
    if (this.#link.state === 'closed') await running;
    this.#clockTimer = setInterval(() => void this.#exchange().catch(() => undefined), CLOCK_EVERY);
  }

  /** Leaves. Idempotent. */
  close(): void {
    clearInterval(this.#clockTimer);
    clearTimeout(this.#tokenTimer);
    this.#reporter.close();
    this.#link.close();
  }

  /** Comes back now instead of later. */
  retry(): void {
    this.#link.retry();
  }

  /** Ends the connection as if it were lost. For tests. */
  cut(): void {
    this.#link.cut();
  }

  /** Opens a stream of poses; its publisher lives on when the connection is lost. */
  async publishPoses(name = 'main', options: PoseOptions = {}): Promise<PosePublisher> {
    return this.#publish(new PosePublisher(name, this.#uplink, this.#desk, options));
  }

  /** Opens a stream of sound; `codec` of the publisher says how it goes out. */
  async publishAudio(name = 'voice', options: AudioOptions = {}): Promise<AudioPublisher> {
    const codec = options.codec === 'opus' && (await canEncodeOpus()) ? 'opus' : 'pcm';
    return this.#publish(new AudioPublisher(name, this.#uplink, this.#desk, { ...options, codec }));
  }

  /** Says something to the others; gives how many it went to. */
  async sendEvent(name: string, data: unknown = null): Promise<number> {
    const capturedUs = BigInt(Math.round(this.clock.toServer(localUs())));
    const draft = { version: 2, kind: 'event', delivery: 'reliable', frameType: 'key', stream: 0, ref: 0, capturedUs } as const;
    return this.#uplink.sendReliably(draft, encodeEventV2(name, data));
  }

  /** Says of ourselves what others may read. */
  async setStatus(status: string): Promise<void> {
    await this.#link.request('room.status', { room: this.#options.room, user: this.userId, status });
  }

  /** Figures of every stream that was heard from those who are here. */
  stats(): StreamReport[] {
    const now = performance.timeOrigin + performance.now();
    return [...this.#receiver.readings].map(({ userId, stream, stats, bits }) => ({ userId, stream, bits, ...stats.figures(now) }));
  }

  // Inside -----------------------------------------------------------------------------------------------------------

  #wire(): void {
    this.#link.on('state', (state) => this.emit('state', state));
    this.#link.on('packet', (packet) => this.#packet(packet));
    this.#link.on('message', ({ name, data }) => this.#message(name, data as Record<string, unknown>));
    for (const name of ['pose', 'audio', 'drop'] as const) {
      this.#receiver.on(name, (value) => this.emit(name, value as never));
    }
    this.#receiver.on('event', (event) => {
      if (event.name === KEY_EVENT) void this.#newKey(event.userId, event.data).catch(() => undefined);
      else if (!event.name.startsWith('posewire:')) this.emit('event', event);
    });
  }

  #packet(packet: Uint8Array): void {
    // Events are journalled, readable or not.
    if (packet.length > 1 && (packet[1] & 3) === 2) this.#resumption.count(packet.length);
    this.#inTurn(() => this.#receiver.packet(packet));
  }

  /** Handles what belongs to a room, once we know that we are in it. */
  #inTurn(handle: () => void): void {
    if (!this.#early) handle();
    else if (this.#early.length < MOST_EARLY) this.#early.push(handle);
  }

  #message(name: string, data: Record<string, unknown> | unknown[] | null): void {
    if (name === 'ack' && Array.isArray(data)) {
      this.#uplink.credit.ack(Number(data[0]), Number(data[1] ?? 0) / 1000, performance.now());
      this.#pump();
      return;
    }
    const fields = (data ?? {}) as Record<string, unknown>;
    if (name === 'room') {
      this.#resumption.count(100);
      this.#inTurn(() => {
        if (fields.room === this.room.name) this.#update(Number(fields.version), fields.change as Change);
      });
    } else if (name === 'keyframe') {
      for (const each of this.#publishers) if (each instanceof PosePublisher && each.number === fields.stream) each.keyframe();
    } else if (name === 'notice') this.emit('notice', String(fields.message ?? ''));
    else if (name === 'report') this.emit('report', data);
  }

  /** On each new connection: takes the old seat, or joins anew. */
  async #greet(): Promise<void> {
    const welcome = (await this.#link.request('hello', this.#resumption.hello(this.number))) as Record<string, unknown>;
    this.userId = String(welcome.user_id);
    const resumed = welcome.resumed === true;
    this.#uplink.connected(welcome.acknowledges === true);
    this.#resumption.welcomed(String(welcome.resume ?? ''), resumed);
    this.#renewIn(Number(welcome.expires_in));
    await this.#exchange();
    if (resumed && this.number) {
      this.#uplink.resend(Number(welcome.received));
      for (const each of this.#publishers) if (each instanceof PosePublisher) each.keyframe();
    } else await this.#join();
    void this.#exchanges();
  }

  /** Makes what is known of the clock better; nobody waits for it. */
  async #exchanges(): Promise<void> {
    try {
      for (let i = 1; i < CLOCK_EXCHANGES; i++) await this.#exchange();
    } catch {
      // The connection is gone; the next one begins anew.
    }
  }

  async #join(): Promise<void> {
    const { room, create } = this.#options;
    // The same again while it has sealed nothing: the answer may have been lost, and the seat be ours.
    const salt = (this.#salt ??= canSeal() ? newSalt() : EMPTY);
    const key = this.#opener.roomKey;
    const argument = { room, create: create ?? true, salt, ...(key ? { key_id: key.keyId } : {}) };
    this.#early = [];
    try {
      this.#enter((await this.#link.request('room.join', argument)) as Record<string, unknown>, salt);
    } finally {
      const early = this.#early;
      this.#early = null;
      for (const handle of early) handle();
    }
    this.#salt = null;
    this.#uplink.sit({ number: this.number, seal: await this.#sealKey(this.#opener.sharedKey, salt) });
    await Promise.all(this.#publishers.map((each) => each.reopen()));
    this.emit('presence', { type: 'snapshot' });
    for (const { userId, member, number, name, kind } of this.room.streams.values()) {
      if (kind === 'pose' && userId !== this.userId) void this.#receiver.fetchPicture(userId, name, member, number);
    }
  }

  #enter(joined: Record<string, unknown>, salt: Uint8Array): void {
    this.room.reset(joined.snapshot);
    this.#opener.reset(asBytes(joined.key) ?? EMPTY);
    this.#receiver.reset();
    this.number = Number(joined.number);
    const own = this.room.members.get(this.userId);
    if (!own) throw new PosewireError('RoomError', 'we joined the room, and are not in it');
    // Any other salt must not be sealed with: no key may seal two packets with the same stream and seq.
    const ours = own.salt.length === salt.length && own.salt.every((byte, i) => byte === salt[i]);
    if (!ours) throw new PosewireError('RoomError', 'the server gave us a salt that is not ours');
  }

  async #sealKey(shared: Uint8Array, salt: Uint8Array): Promise<SealKey | null> {
    if (salt.length === 0) return null;
    const { room } = this.#options;
    return this.#secret ? SealKey.derive('AEAD', this.#secret, room, this.userId, salt) : SealKey.derive('MAC', shared, room, this.userId, salt);
  }

  /** Applies a change; after a gap, asks for what is missing. */
  #update(version: number, change: Change): void {
    if (this.#syncing) return; // the answer has it, or what comes after has
    const before = typeof change.user_id === 'string' ? this.room.members.get(change.user_id) : undefined;
    const how = this.room.apply(version, change);
    if (how === 'gap') void this.#sync().catch(() => undefined);
    else if (how === 'applied') this.#changed(change, before);
  }

  #changed(change: Change, before: Member | undefined): void {
    if (change.type === 'left' && before) this.#receiver.left(before.number);
    if (change.type === 'rekeyed' && before) this.#opener.rekeyed(before, performance.timeOrigin + performance.now());
    if (change.type === 'closed') this.number = 0;
    this.emit('presence', change);
  }

  async #sync(): Promise<void> {
    this.#syncing = true;
    try {
      const answer = (await this.#link.request('room.sync', { room: this.room.name, version: this.room.version })) as Record<string, unknown>;
      this.#syncing = false;
      if (answer.snapshot) {
        this.room.reset(answer.snapshot);
        this.emit('presence', { type: 'snapshot' });
      } else for (const change of (answer.changes ?? []) as Change[]) this.#update(this.room.version + 1, change);
    } finally {
      this.#syncing = false;
    }
  }

  /** The host has another room key for us. */
  async #newKey(userId: string, data: unknown): Promise<void> {
    const secret = typeof data === 'object' && data !== null ? asBytes((data as Record<string, unknown>).key) : null;
    if (!this.#secret || !secret || secret.length < 16 || this.room.members.get(userId)?.role !== 'host') return;
    const key = await roomKey(secret, this.#options.room);
    this.#secret = secret.slice();
    this.#opener.useRoomKey({ ...key, secret: this.#secret }, performance.timeOrigin + performance.now());
    const salt = newSalt();
    await this.#link.request('room.rekey', { room: this.#options.room, salt, key_id: key.keyId });
    this.#uplink.rekey(await SealKey.derive('AEAD', this.#secret, this.#options.room, this.userId, salt));
  }

  async #exchange(): Promise<void> {
    const before = localUs();
    const server = Number(await this.#link.request('heartbeat', {}));
    this.clock.observe(before, server, localUs());
  }

  #renewIn(seconds: number): void {
    clearTimeout(this.#tokenTimer);
    if (!this.#source.renewable || !(seconds > 0)) return;
    this.#tokenTimer = setTimeout(() => void this.#renew(), Math.min(1000 * seconds * RENEW_AT, 2 ** 31 - 1));
  }

  async #renew(): Promise<void> {
    try {
      const token = await this.#source.next();
      this.#renewIn(Number(await this.#link.request('token.refresh', { token })));
    } catch (error) {
      this.emit('notice', `the token could not be renewed: ${messageOf(error)}`);
      this.#renewIn(5);
    }
  }

  async #publish<Publisher extends PosePublisher | AudioPublisher>(publisher: Publisher): Promise<Publisher> {
    await publisher.reopen();
    this.#publishers.push(publisher);
    return publisher;
  }

  #pump(): void {
    for (const each of this.#publishers) each.pump();
  }

  *#reported() {
    for (const { member, number, stats } of this.#receiver.readings) yield { member, stream: number, stats };
  }
}

/** Joins a room; waits until we are in it. */
export async function connect(options: SessionOptions): Promise<Session> {
  const session = new Session(options);
  try {
    await session.open();
  } catch (error) {
    session.close();
    throw error;
  }
  return session;
}

