/** What can go wrong, in the words of the wire. */

/** Why a packet was refused: the words of "What is accepted" in docs/wire.md. */
export type RefusalWord =
  | 'unknown_member' | 'unknown_stream' | 'unsealed' | 'no_key' | 'wrong_key' | 'altered' | 'stale' | 'replayed' | 'damaged'
  | 'missing_reference' | 'no_codec'
  | 'no_crypto';

/** Bytes of a stranger that make no sense, or that must not be believed. */
export class ProtocolError extends Error {
  readonly word: RefusalWord;

  constructor(message: string, word: RefusalWord = 'damaged') {
    super(message);
    this.name = new.target.name;
    this.word = word;
  }
}

/** The frame refers to one that did not come: ask `stream.keyframe`. */
export class MissingReference extends ProtocolError {
  constructor(message: string) {
    super(message, 'missing_reference');
  }
}

/** An error of the server (`type` is its class there, `code` a number in the style of HTTP), or of the connection. */
export class PosewireError extends Error {
  readonly type: string;
  readonly code: number;
  readonly fields: Readonly<Record<string, unknown>>;

  constructor(type: string, message: string, code = 0, fields: Readonly<Record<string, unknown>> = {}) {
    super(message);
    this.name = type;
    this.type = type;
    this.code = code;
    this.fields = fields;
  }
}

/** Makes an error of what the server sent as one: `{type, code, message, fields}`. */
export function errorFromWire(error: unknown): PosewireError {
  if (typeof error !== 'object' || error === null) return new PosewireError('PosewireError', 'the server refused, and did not say why');
  const { type, code, message, fields } = error as Record<string, unknown>;
  return new PosewireError(
    typeof type === 'string' ? type : 'PosewireError',
    typeof message === 'string' ? message : 'the server refused, and did not say why',
    typeof code === 'number' ? code : 0,
    typeof fields === 'object' && fields !== null ? (fields as Record<string, unknown>) : {},
  );
}

export function check(condition: unknown, message: string, word?: RefusalWord): asserts condition {
  if (!condition) throw new ProtocolError(message, word);
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
