import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { commonWords } from "../i18n/common.ts";
import { IconButton } from "./button.tsx";

interface DialogProps {
  title: string;
  onClose: () => void;
  /** False while leaving would lose something, such as a key that is shown once. */
  mayClose?: boolean;
  size?: "small" | "large";
  children: ComponentChildren;
}

/** A native dialog: the browser keeps the focus in it, and gives it back afterwards. */
export function Dialog({ title, onClose, mayClose = true, size, children }: DialogProps) {
  const place = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const dialog = place.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={place}
      class={size}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        if (mayClose) onClose();
      }}
    >
      <header>
        <h2 id={titleId}>{title}</h2>
        {mayClose && <IconButton icon="close" label={commonWords().close} onClick={onClose} />}
      </header>
      {children}
    </dialog>
  );
}
