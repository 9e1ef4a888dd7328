/** zlib (RFC 1950) by the platform's own streams; so it is asynchronous. */
import { concat, plain, type Bytes } from './bytes.js';
import { ProtocolError, messageOf } from './errors.js';

export const MAX_INFLATED = 1_048_576;

/** Inflates, up to a limit: a small packet may say that it is gigabytes. */
export async function inflate(bytes: Uint8Array, limit = MAX_INFLATED): Promise<Bytes> {
  const stream = new Blob([plain(bytes)]).stream().pipeThrough(new DecompressionStream('deflate'));
  const reader = stream.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return concat(...parts);
      size += value.length;
      if (size > limit) {
        await reader.cancel().catch(() => undefined);
        throw new ProtocolError(`inflates to more than ${limit} bytes`);
      }
      parts.push(value);
    }
  } catch (error) {
    if (error instanceof ProtocolError) throw error;
    throw new ProtocolError(`bad zlib: ${messageOf(error)}`);
  }
}

export async function deflate(bytes: Uint8Array): Promise<Bytes> {
  const stream = new Blob([plain(bytes)]).stream().pipeThrough(new CompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
