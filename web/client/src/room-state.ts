/** What the server says is in a room. Pure. */
import { asBytes } from './socket-parser.js';

export interface Member {
  readonly id: string;
  readonly number: number;
  readonly role: string;
  readonly publish: boolean;
  readonly subscribe: boolean;
  readonly moderate: boolean;
  readonly owner: boolean;
  readonly salt: Uint8Array;
  readonly keyId: Uint8Array;
  readonly status: string;
  /** False while its connection is lost and its seat is held. */
  readonly present: boolean;
}

export interface StreamInfo {
  readonly userId: string;
  readonly member: number;
  readonly number: number;
  readonly kind: 'pose' | 'audio';
  readonly name: string;
}

/** A change as it comes over the wire: `type` and what belongs to it. */
export interface Change {
  readonly type: string;
  readonly [field: string]: unknown;
}

type Wire = Record<string, unknown>;

const NOTHING = new Uint8Array(0);
const isMap = (value: unknown): value is Wire => typeof value === 'object' && value !== null;
const text = (value: unknown): string => (typeof value === 'string' ? value : '');

function memberOf(value: unknown): Member | null {
  if (!isMap(value) || typeof value.id !== 'string' || typeof value.number !== 'number') return null;
  return {
    id: value.id,
    number: value.number,
    role: text(value.role) || 'member',
    publish: value.publish !== false,
    subscribe: value.subscribe !== false,
    moderate: value.moderate === true,
    owner: value.owner === true,
    salt: asBytes(value.salt) ?? NOTHING,
    keyId: asBytes(value.key_id) ?? NOTHING,
    status: text(value.status),
    present: value.present !== false,
  };
}

function streamOf(value: unknown): StreamInfo | null {
  if (!isMap(value) || (value.kind !== 'pose' && value.kind !== 'audio')) return null;
  if (typeof value.user_id !== 'string' || typeof value.member !== 'number' || typeof value.number !== 'number') return null;
  return { userId: value.user_id, member: value.member, number: value.number, kind: value.kind, name: text(value.name) };
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** One room, kept up to date by changes. */
export class RoomState {
  readonly members = new Map<string, Member>();
  readonly streams = new Map<string, StreamInfo>();
  name = '';
  version = 0;
  locked = false;
  readonly #byNumber = new Map<number, Member>();

  /** Begins anew. */
  reset(snapshot: unknown): void {
    const wire = isMap(snapshot) ? snapshot : {};
    for (const map of [this.members, this.streams, this.#byNumber]) map.clear();
    this.name = text(wire.room);
    this.version = typeof wire.version === 'number' ? wire.version : 0;
    this.locked = wire.locked === true;
    for (const each of listOf(wire.members)) this.#put(memberOf(each));
    for (const each of listOf(wire.streams)) this.#open(streamOf(each));
  }

  memberOf(number: number): Member | undefined {
    return this.#byNumber.get(number);
  }

  streamOf(member: number, number: number): StreamInfo | undefined {
    return this.streams.get(`${member}/${number}`);
  }

  /** Applies a change of that version; says whether it was the next one, or old, or whether some are missing. */
  apply(version: number, change: Change): 'applied' | 'old' | 'gap' {
    if (version <= this.version) return 'old';
    if (version > this.version + 1) return 'gap';
    this.version = version;
    this.#change(change);
    return 'applied';
  }

  #change(change: Change): void {
    const user = text(change.user_id);
    switch (change.type) {
      case 'joined': return this.#put(memberOf(change.member));
      case 'left': return this.#remove(user);
      case 'dropped': return this.#update(user, { present: false });
      case 'returned': return this.#update(user, { present: true });
      case 'host':
        for (const { id } of [...this.members.values()]) this.#update(id, { role: id === user ? 'host' : 'member' });
        return;
      case 'grants':
        return this.#update(user, {
          publish: change.publish !== false,
          subscribe: change.subscribe !== false,
          moderate: change.moderate === true,
          owner: change.owner === true,
        });
      case 'status': return this.#update(user, { status: text(change.status) });
      case 'rekeyed': return this.#update(user, { salt: asBytes(change.salt) ?? NOTHING, keyId: asBytes(change.key_id) ?? NOTHING });
      case 'lock': this.locked = change.locked === true; return;
      case 'stream': return this.#open(streamOf(change.stream));
      case 'closed': return this.reset({ room: this.name, version: this.version });
      default: // a change of a newer server: the version counts all the same
    }
  }

  #put(member: Member | null): void {
    if (!member) return;
    this.#remove(member.id); // new numbers when a room is entered anew
    this.members.set(member.id, member);
    this.#byNumber.set(member.number, member);
  }

  #update(user: string, fields: Partial<Member>): void {
    const member = this.members.get(user);
    if (!member) return;
    const changed = { ...member, ...fields };
    this.members.set(user, changed);
    this.#byNumber.set(changed.number, changed);
  }

  #remove(user: string): void {
    const member = this.members.get(user);
    if (!member) return;
    this.members.delete(user);
    this.#byNumber.delete(member.number);
    for (const [key, stream] of this.streams) if (stream.member === member.number) this.streams.delete(key);
  }

  #open(stream: StreamInfo | null): void {
    if (stream) this.streams.set(`${stream.member}/${stream.number}`, stream);
  }
}
