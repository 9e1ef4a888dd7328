/** Whose packet is it, and may it be believed: "What is accepted" of docs/wire.md. */
import { toHex } from './bytes.js';
import { ProtocolError, check } from './errors.js';
import { HEADER_SIZE, type Header } from './header.js';
import type { Member, RoomState, StreamInfo } from './room-state.js';
import { SALT_SIZE, SealKey, canSeal, keyId as keyIdOf } from './seal.js';

/** Milliseconds for which packets under the key before are taken. */
const GRACE = 5000;
const MAX_KEYS = 1024;

/** Our room key and how others know it. */
export interface RoomKey {
  readonly secret: Uint8Array;
  readonly keyId: Uint8Array;
}

export async function roomKey(secret: Uint8Array, room: string): Promise<RoomKey> {
  return { secret, keyId: await keyIdOf(secret, room) };
}

/** Where a packet comes from. The stream is null for events. */
export interface Origin {
  readonly member: Member;
  readonly stream: StreamInfo | null;
}

interface Former<T> {
  readonly value: T;
  readonly until: number;
}

const same = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** Opens packets of one room. Times are milliseconds of any steady clock. */
export class Opener {
  /** The `key` of `room.join`. */
  sharedKey: Uint8Array = new Uint8Array(0);
  readonly #room: RoomState;
  #roomKey: RoomKey | null = null;
  #formerKey: Former<RoomKey> | null = null;
  readonly #formerMembers = new Map<string, Former<Member>>();
  readonly #keys = new Map<string, Promise<SealKey>>();

  constructor(room: RoomState) {
    this.#room = room;
  }

  get roomKey(): RoomKey | null {
    return this.#roomKey;
  }

  /** Uses another room key from now on; the one before is good for a while. */
  useRoomKey(key: RoomKey | null, now: number): void {
    this.#formerKey = this.#roomKey ? { value: this.#roomKey, until: now + GRACE } : null;
    this.#roomKey = key;
  }

  /** Notes that a member seals otherwise from now on. `before`: as it was. */
  rekeyed(before: Member, now: number): void {
    this.#formerMembers.set(before.id, { value: before, until: now + GRACE });
  }

  /** Forgets keys: another room, or the same one anew. */
  reset(sharedKey: Uint8Array): void {
    this.sharedKey = sharedKey;
    this.#keys.clear();
    this.#formerMembers.clear();
  }

  /** Finds whose packet it is; refuses one of nobody. */
  originOf(header: Header): Origin {
    const member = this.#room.memberOf(header.member);
    check(member, `no member ${header.member}`, 'unknown_member');
    if (header.kind === 'event') return { member, stream: null };
    const stream = this.#room.streamOf(header.member, header.stream);
    check(stream && stream.kind === header.kind, `no stream ${header.stream} of ${header.kind}`, 'unknown_stream');
    return { member, stream };
  }

  /** Returns the body; at once when it is not sealed. Refuses what must not be believed, at once or later. */
  open(header: Header, packet: Uint8Array, member: Member, now: number): Uint8Array | Promise<Uint8Array> {
    if (this.#roomKey) check(header.seal === 'aead', 'not sealed, in a sealed room', 'unsealed');
    else check(header.seal !== 'none' || member.salt.length === 0 || header.version === 1, 'not sealed', 'unsealed');
    if (header.seal === 'none') return packet.subarray(HEADER_SIZE);
    check(canSeal(), 'no cryptography here: the page needs https, or localhost', 'no_crypto');
    check(header.seal === 'mac' || this.#roomKey, 'sealed with a room key, and we have none', 'no_key');
    const former = this.#formerMembers.get(member.id);
    const members = former && former.until > now ? [member, former.value] : [member];
    const candidates = members.flatMap((each) => this.#secretsFor(header, each, now).map((secret) => ({ member: each, secret })));
    check(candidates.length > 0, 'sealed with another room key', 'wrong_key');
    return this.#tryEach(header, packet, candidates);
  }

  #secretsFor(header: Header, member: Member, now: number): Uint8Array[] {
    if (header.seal === 'mac') return [this.sharedKey];
    const former = this.#formerKey;
    const keys = [this.#roomKey, former && former.until > now ? former.value : null];
    return keys.filter((key): key is RoomKey => key !== null && same(key.keyId, member.keyId)).map(({ secret }) => secret);
  }

  async #tryEach(header: Header, packet: Uint8Array, candidates: readonly { member: Member; secret: Uint8Array }[]): Promise<Uint8Array> {
    let refusal: unknown = null;
    for (const { member, secret } of candidates) {
      try {
        check(member.salt.length === SALT_SIZE, 'the sender has no salt', 'altered');
        return await (await this.#key(header, member, secret)).open(packet);
      } catch (error) {
        if (!(error instanceof ProtocolError)) throw error;
        refusal = error;
      }
    }
    throw refusal;
  }

  #key(header: Header, member: Member, secret: Uint8Array): Promise<SealKey> {
    const mode = header.seal === 'aead' ? 'AEAD' : 'MAC';
    const name = [mode, member.id, toHex(member.salt), mode === 'AEAD' ? toHex(member.keyId) : ''].join('\n');
    let key = this.#keys.get(name);
    if (!key) {
      if (this.#keys.size >= MAX_KEYS) this.#keys.clear();
      this.#keys.set(name, (key = SealKey.derive(mode, secret, this.#room.name, member.id, member.salt)));
    }
    return key;
  }
}
