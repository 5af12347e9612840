import type { TargetedEvent, TargetedKeyboardEvent } from "preact";
import { useId, useRef } from "preact/hooks";
import { Icon, type IconName } from "./icon.tsx";

export interface MenuItem {
  label: string;
  onSelect: () => void;
  isDanger?: boolean;
}

const GAP_PX = 4;

/** A button that opens a list of acts. The popover is the browser's: it closes on Escape or a click beside it. */
export function Menu({
  label,
  icon = "more",
  items,
}: {
  label: string;
  icon?: IconName;
  items: readonly MenuItem[];
}) {
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);

  const place = (event: TargetedEvent<HTMLDivElement, ToggleEvent>) => {
    if (event.newState !== "open" || list.current === null || button.current === null) return;
    const below = button.current.getBoundingClientRect();
    const { offsetHeight, offsetWidth, style } = list.current;
    const fits = below.bottom + GAP_PX + offsetHeight < innerHeight;
    const top = fits ? below.bottom + GAP_PX : below.top - GAP_PX - offsetHeight;
    style.top = `${Math.max(GAP_PX, top)}px`;
    style.left = `${Math.max(GAP_PX, below.right - offsetWidth)}px`;
    list.current.querySelector<HTMLElement>("[role=menuitem]")?.focus();
  };

  const move = (event: TargetedKeyboardEvent<HTMLDivElement>) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const all = [...event.currentTarget.querySelectorAll<HTMLElement>("[role=menuitem]")];
    const at = all.indexOf(document.activeElement as HTMLElement);
    all[(at + step + all.length) % all.length]?.focus();
  };

  return (
    <>
      <button
        ref={button}
        type="button"
        class="icon-button"
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        popovertarget={id}
      >
        <Icon name={icon} />
      </button>
      <div
        ref={list}
        id={id}
        class="menu"
        role="menu"
        tabIndex={-1}
        aria-label={label}
        popover="auto"
        onToggle={place}
        onKeyDown={move}
      >
        {items.map(({ label: name, onSelect, isDanger }) => (
          <button
            key={name}
            type="button"
            role="menuitem"
            class={isDanger ? "danger" : undefined}
            onClick={() => {
              list.current?.hidePopover();
              onSelect();
            }}
          >
            {name}
          </button>
        ))}
      </div>
    </>
  );
}
