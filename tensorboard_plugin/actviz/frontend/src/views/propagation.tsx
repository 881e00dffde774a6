// One input on its way through the network at one step.

export function PropagationControls() {
  return <></>;
}

export function PropagationView(_: { available: number }) {
  return <div data-testid="propagation-view" />;
}
