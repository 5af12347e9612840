import { accountsWords } from "../../i18n/accounts.ts";
import { TextAreaField, TextField } from "../../ui/fields.tsx";
import { credentialFrom, type SecretWay } from "./credential.ts";

/** Where a key, a token or a credentials file is pasted. */
export function SecretField({
  way,
  value,
  isTried,
  onValue,
}: {
  way: SecretWay;
  value: string;
  isTried: boolean;
  onValue: (value: string) => void;
}) {
  const t = accountsWords();
  const isEmpty = value.trim() === "";
  if (way === "pasted") {
    const isBad = credentialFrom(way, value) === null;
    const wrong = isEmpty ? t.required : t.pastedBad;
    return (
      <TextAreaField
        label={t.pasted}
        hint={t.pastedHint}
        error={isTried && isBad ? wrong : undefined}
        rows={5}
        spellcheck={false}
        value={value}
        onValue={onValue}
      />
    );
  }
  return (
    <TextField
      label={t[way]}
      hint={way === "apiKey" ? t.apiKeyHint : t.setupTokenHint}
      type="password"
      autocomplete="off"
      required
      error={isTried && isEmpty ? t.required : undefined}
      value={value}
      onValue={onValue}
    />
  );
}
