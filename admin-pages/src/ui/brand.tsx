import { shellWords } from "../i18n/shell.ts";
import icon from "../icon.svg";
import { BASE } from "../screens.ts";

export function Brand() {
  return (
    <a class="brand" href={`${BASE}/`}>
      <img src={icon} alt="" width={26} height={26} />
      <span>{shellWords().brand}</span>
    </a>
  );
}
