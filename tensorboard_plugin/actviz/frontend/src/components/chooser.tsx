// A labelled choice of one of several words.

interface Props<T extends string> {
  label: string;
  testid: string;
  state: { value: T };
  choices: readonly (readonly [T, string])[];
}

export function Chooser<T extends string>({ label, testid, state, choices }: Props<T>) {
  return (
    <label>
      {label}
      <select
        data-testid={testid}
        value={state.value}
        onChange={(event) => {
          state.value = event.currentTarget.value as T;
        }}
      >
        {choices.map(([value, text]) => (
          <option key={value} value={value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
