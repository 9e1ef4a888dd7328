/** The link's fragment, `#room=studio&token=…`: what a browser never sends to a server, and so no log has. */

export interface Invitation {
  readonly room: string;
  readonly token: string;
  /** Room key of a sealed room; empty when there is none. */
  readonly key: string;
}

const KEPT = 'posewire.invitation';

export function readInvitation(hash: string): Invitation {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  const of = (name: string) => fields.get(name) ?? '';
  return { room: of('room'), token: of('token'), key: of('key') };
}

/** The same fragment without token and key; empty when nothing is left. */
export function withoutSecrets(hash: string): string {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  for (const name of ['token', 'key']) fields.delete(name);
  return fields.size ? `#${fields}` : '';
}

/**
 * Takes the invitation out of the address, so that it is neither in the history nor on a screenshot; this tab remembers it
 * for a reload.
 */
export function takeInvitation(): Invitation {
  const found = readInvitation(location.hash);
  if (found.token || found.key) {
    keep(found);
    history.replaceState(null, '', `${location.pathname}${location.search}${withoutSecrets(location.hash)}`);
    return found;
  }
  const kept = remembered();
  return kept && (!found.room || found.room === kept.room) ? kept : found;
}

export function keep(invitation: Invitation): void {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify(invitation));
  } catch {
    // Storage that is switched off costs a reload its memory.
  }
}

export function forget(): void {
  try {
    sessionStorage.removeItem(KEPT);
  } catch {
    // There was nothing kept then.
  }
}

function remembered(): Invitation | null {
  try {
    const value: unknown = JSON.parse(sessionStorage.getItem(KEPT) ?? 'null');
    if (typeof value !== 'object' || value === null) return null;
    const { room, token, key } = value as Record<string, unknown>;
    return { room: String(room ?? ''), token: String(token ?? ''), key: String(key ?? '') };
  } catch {
    return null;
  }
}
