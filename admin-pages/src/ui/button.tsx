import type { ComponentChildren, JSX } from "preact";
import { Icon, type IconName } from "./icon.tsx";

interface ButtonProps extends Omit<JSX.IntrinsicElements["button"], "icon" | "size"> {
  kind?: "primary" | "danger" | "quiet" | undefined;
  icon?: IconName | undefined;
  isSmall?: boolean | undefined;
  /** Work is under way: the button waits and says so. */
  isBusy?: boolean | undefined;
  children?: ComponentChildren;
}

export function Button(props: ButtonProps) {
  const { kind, icon, isSmall, isBusy = false, children, disabled, ...rest } = props;
  const className = ["button", kind, isSmall && "small", isBusy && "busy"]
    .filter(Boolean)
    .join(" ");
  return (
    <button
      type="button"
      {...rest}
      class={className}
      disabled={disabled || isBusy}
      aria-busy={isBusy || undefined}
    >
      {isBusy ? <span class="spinner" /> : icon !== undefined && <Icon name={icon} />}
      {children}
    </button>
  );
}

interface IconButtonProps extends Omit<JSX.IntrinsicElements["button"], "icon" | "label"> {
  icon: IconName;
  /** Read out, and shown as a tip. */
  label: string;
}

export function IconButton({ icon, label, ...rest }: IconButtonProps) {
  return (
    <button type="button" class="icon-button" title={label} aria-label={label} {...rest}>
      <Icon name={icon} />
    </button>
  );
}

/** A link that looks like a button: it leads somewhere, and does nothing. */
export function LinkButton({
  kind,
  icon,
  children,
  ...rest
}: JSX.IntrinsicElements["a"] & { kind?: "primary" | "quiet"; icon?: IconName }) {
  return (
    <a class={["button", kind].filter(Boolean).join(" ")} {...rest}>
      {icon !== undefined && <Icon name={icon} />}
      {children}
    </a>
  );
}
