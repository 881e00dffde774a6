// Two (run, step) pairs, map by map and layer by layer.

export function CompareControls() {
  return <></>;
}

export function CompareView(_: { available: number }) {
  return <div data-testid="compare-view" />;
}
