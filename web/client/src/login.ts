/** Where tokens come from. */
import { PosewireError, errorFromWire, messageOf } from './errors.js';

/** Gives a token that is good now: called for each connection, and before the last one ends. */
export type TokenSource = () => Promise<string>;

export type Credentials =
  | { readonly token: string | TokenSource }
  | { readonly username: string; readonly password: string };

/** Trades name and password for a token, at the server's `/login`. */
export async function login(url: string, username: string, password: string): Promise<string> {
  let response: Response;
  try {
    response = await fetch(new URL('/login', url), {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ username, password }),
      credentials: 'omit',
    });
  } catch (error) {
    throw new PosewireError('ConnectionError', `no answer from ${url}: ${messageOf(error)}`);
  }
  const answer: unknown = await response.json().catch(() => null);
  const { token, error } = (typeof answer === 'object' && answer !== null ? answer : {}) as { token?: unknown; error?: unknown };
  if (response.ok && typeof token === 'string') return token;
  throw error ? errorFromWire(error) : new PosewireError('AuthError', `the server answered ${response.status} to the login`, response.status);
}

/** Makes a source of credentials; `renewable` says whether asking again may give another token. */
export function tokenSource(url: string, credentials: Credentials): { readonly next: TokenSource; readonly renewable: boolean } {
  if ('username' in credentials) {
    return { next: () => login(url, credentials.username, credentials.password), renewable: true };
  }
  const { token } = credentials;
  return typeof token === 'string' ? { next: async () => token, renewable: false } : { next: token, renewable: true };
}
