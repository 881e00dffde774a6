// How alike representations are: layers, steps and runs, and the samples on their principal components.

export function SimilarityControls() {
  return <></>;
}

export function SimilarityView(_: { available: number }) {
  return <div data-testid="similarity-view" />;
}
