/** The form that asks for what the link does not say. */
import type { Credentials } from '@posewire/client';
import type { Invitation } from './fragment';

export interface Entry {
  readonly room: string;
  readonly key: string;
  readonly credentials: Credentials;
}

const dialog = document.querySelector<HTMLDialogElement>('#entry') as HTMLDialogElement;
const form = document.querySelector<HTMLFormElement>('#entry-form') as HTMLFormElement;
const problemLine = document.querySelector<HTMLElement>('#entry-problem') as HTMLElement;

const field = (name: string): HTMLInputElement => form.elements.namedItem(name) as HTMLInputElement;

/** Asks, saying what was wrong with the last answer; waits for one that is complete. */
export function ask(known: Invitation, problem: string): Promise<Entry> {
  if (known.room) field('room').value = known.room;
  say(problem);
  if (!dialog.open) dialog.showModal();
  (field('room').value ? field('username') : field('room')).focus();
  return new Promise((resolve) => {
    form.onsubmit = (event) => {
      event.preventDefault();
      const [room, token, username] = ['room', 'token', 'username'].map((name) => field(name).value.trim());
      const [password, key] = ['password', 'key'].map((name) => field(name).value);
      if (!token && !(username && password)) return say('A token is needed, or a name and its password.');
      field('password').value = '';
      dialog.close();
      resolve({ room, key, credentials: token ? { token } : { username, password } });
    };
    // Nothing is behind it: closing it leaves one with an empty page.
    dialog.oncancel = (event) => event.preventDefault();
  });
}

function say(problem: string): void {
  problemLine.textContent = problem;
  problemLine.hidden = problem === '';
}
