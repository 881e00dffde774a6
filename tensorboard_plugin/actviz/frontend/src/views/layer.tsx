export function LayerView() { return <p class="no-match">…</p>; }
export function LayerControls() { return null; }
