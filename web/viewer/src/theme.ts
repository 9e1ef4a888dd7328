/** Light or dark: as the system says, until somebody says otherwise. */

const KEPT = 'posewire.theme';
const SYSTEM = matchMedia('(prefers-color-scheme: dark)');

function chosen(): string | null {
  try {
    return localStorage.getItem(KEPT);
  } catch {
    return null; // storage is switched off
  }
}

/** Calls `changed` now and with each change; returns what switches. */
export function theme(changed: (dark: boolean) => void): () => void {
  let own = chosen();
  const dark = (): boolean => (own ? own === 'dark' : SYSTEM.matches);
  const show = (): void => {
    document.documentElement.dataset.theme = dark() ? 'dark' : 'light';
    changed(dark());
  };
  SYSTEM.addEventListener('change', show);
  show();
  return () => {
    own = dark() ? 'light' : 'dark';
    try {
      localStorage.setItem(KEPT, own);
    } catch {
      // It holds until the page is left.
    }
    show();
  };
}
