/** Grid, or all in one space: as the link says (`#view=space`), else as it was here last. */

export type ViewMode = 'grid' | 'space';

const KEPT = 'posewire.view';

const known = (text: string | null): ViewMode | null => (text === 'grid' || text === 'space' ? text : null);

function kept(): ViewMode | null {
  try {
    return known(localStorage.getItem(KEPT));
  } catch {
    return null; // storage is switched off
  }
}

export const viewIn = (hash: string): ViewMode | null => known(new URLSearchParams(hash.replace(/^#/, '')).get('view'));

/** The same fragment with another view in it. */
export function withView(hash: string, view: ViewMode): string {
  const fields = new URLSearchParams(hash.replace(/^#/, ''));
  fields.set('view', view);
  return `#${fields}`;
}

/** Calls `changed` now and with each change; returns what switches. */
export function viewMode(changed: (view: ViewMode) => void): () => void {
  let view: ViewMode = viewIn(location.hash) ?? kept() ?? 'grid';
  changed(view);
  return () => {
    view = view === 'grid' ? 'space' : 'grid';
    try {
      localStorage.setItem(KEPT, view);
    } catch {
      // The link keeps it.
    }
    history.replaceState(null, '', `${location.pathname}${location.search}${withView(location.hash, view)}`);
    changed(view);
  };
}
