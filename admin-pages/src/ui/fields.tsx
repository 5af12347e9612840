import type { ComponentChildren, RefObject } from "preact";
import { useId } from "preact/hooks";
import { commonWords } from "../i18n/common.ts";

interface FieldProps {
  label: string;
  /** What to enter, and what it means. */
  hint?: ComponentChildren;
  /** What is wrong with it, and how to mend it. */
  error?: string | undefined;
  isOptional?: boolean;
  /** What is entered counts in this: "USD", "min". */
  unit?: string;
}

interface Wiring {
  id: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
}

/** A labelled control; hint and error are read out with it. */
export function Field({
  label,
  hint,
  error,
  isOptional = false,
  unit,
  children,
}: FieldProps & { children: (wiring: Wiring) => ComponentChildren }) {
  const id = useId();
  const told = [
    hint === undefined ? "" : `${id}-hint`,
    error === undefined ? "" : `${id}-error`,
  ].filter(Boolean);
  const wiring = {
    id,
    ...(told.length === 0 ? {} : { "aria-describedby": told.join(" ") }),
    ...(error === undefined ? {} : { "aria-invalid": true as const }),
  };
  return (
    <div class="field">
      <label for={id}>
        {label}
        {isOptional && <span class="muted"> · {commonWords().optional}</span>}
      </label>
      {unit === undefined ? (
        children(wiring)
      ) : (
        <div class="with-unit">
          {children(wiring)}
          <span>{unit}</span>
        </div>
      )}
      {error !== undefined && (
        <p id={`${id}-error`} class="error">
          {error}
        </p>
      )}
      {hint !== undefined && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
    </div>
  );
}

/** What may be said of a text input; the rest is the field's own business. */
interface InputProps {
  name?: string;
  type?: "text" | "password" | "search" | "number" | "datetime-local" | "url";
  autocomplete?: string;
  autocapitalize?: "none";
  spellcheck?: boolean;
  required?: boolean;
  readonly?: boolean;
  placeholder?: string;
  inputMode?: "numeric" | "decimal";
  min?: number | string;
  max?: number | string;
  step?: number | "any";
  maxLength?: number;
  list?: string;
  inputRef?: RefObject<HTMLInputElement | null>;
}

type TextFieldProps = FieldProps & InputProps & { value: string; onValue: (value: string) => void };

export function TextField({
  label,
  hint,
  error,
  isOptional,
  unit,
  value,
  onValue,
  type = "text",
  inputRef,
  ...rest
}: TextFieldProps) {
  return (
    <Field {...given({ label, hint, error, isOptional, unit })}>
      {(wiring) => (
        <input
          {...rest}
          // The kinds differ in what else they take; none of that is used here.
          type={type as "text"}
          ref={inputRef ?? null}
          {...wiring}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

/** For text of several lines, and for what is pasted. */
export function TextAreaField({
  label,
  hint,
  error,
  isOptional,
  value,
  onValue,
  ...rest
}: FieldProps &
  Pick<InputProps, "name" | "required" | "spellcheck" | "placeholder" | "maxLength"> & {
    rows?: number;
    value: string;
    onValue: (value: string) => void;
  }) {
  return (
    <Field {...given({ label, hint, error, isOptional })}>
      {(wiring) => (
        <textarea
          rows={3}
          {...rest}
          {...wiring}
          value={value}
          onInput={(event) => onValue(event.currentTarget.value)}
        />
      )}
    </Field>
  );
}

export interface Option<T extends string = string> {
  value: T;
  label: string;
}

export function SelectField<T extends string>({
  label,
  hint,
  error,
  isOptional,
  value,
  options,
  onValue,
}: FieldProps & {
  value: T;
  options: readonly Option<T>[];
  onValue: (value: T) => void;
}) {
  return (
    <Field {...given({ label, hint, error, isOptional })}>
      {(wiring) => <Select {...wiring} value={value} options={options} onValue={onValue} />}
    </Field>
  );
}

/** A select without a label of its own: name it with `aria-label`. */
export function Select<T extends string>({
  value,
  options,
  onValue,
  ...rest
}: {
  id?: string;
  "aria-label"?: string;
  "aria-describedby"?: string;
  "aria-invalid"?: true;
  value: T;
  options: readonly Option<T>[];
  onValue: (value: T) => void;
}) {
  return (
    <select {...rest} value={value} onChange={(event) => onValue(event.currentTarget.value as T)}>
      {options.map((option) => (
        <option key={option.value} value={option.value} selected={option.value === value}>
          {option.label}
        </option>
      ))}
    </select>
  );
}

/** On or off. */
export function SwitchField({
  label,
  hint,
  isOn,
  onToggle,
}: {
  label: string;
  hint?: ComponentChildren;
  isOn: boolean;
  onToggle: (isOn: boolean) => void;
}) {
  const id = useId();
  return (
    <div class="field switch">
      <input
        id={id}
        type="checkbox"
        checked={isOn}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        onChange={(event) => onToggle(event.currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {hint !== undefined && (
        <p id={`${id}-hint`} class="hint">
          {hint}
        </p>
      )}
    </div>
  );
}

/** One of few, all in sight. */
export function Choice<T extends string>({
  label,
  isLabelHidden = false,
  value,
  options,
  onValue,
}: {
  label: string;
  isLabelHidden?: boolean;
  value: T;
  options: readonly Option<T>[];
  onValue: (value: T) => void;
}) {
  const name = useId();
  return (
    <fieldset class="choice">
      <legend class={isLabelHidden ? "hidden" : undefined}>{label}</legend>
      <div class="segments">
        {options.map((option) => (
          <label key={option.value} class={option.value === value ? "on" : undefined}>
            <input
              type="radio"
              name={name}
              value={option.value}
              checked={option.value === value}
              onChange={() => onValue(option.value)}
            />
            {option.label}
          </label>
        ))}
      </div>
    </fieldset>
  );
}

/** Leaves out what was not given: an absent prop is not one that is undefined. */
function given<T extends object>(props: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const entries = Object.entries(props).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]: Exclude<T[K], undefined> };
}
