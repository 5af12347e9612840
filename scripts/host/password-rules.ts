const MIN_CHARS = 12;
/** What the admin API takes. */
const MAX_CHARS = 1_000;
/** A password of fewer different characters is "aaaaaaaaaaaa" or little better. */
const MIN_DIFFERENT_CHARS = 6;
/** What people type who want to be done with it, one after the other on a keyboard or in a row. */
const FORWARDS = [
  ...["abcdefghijklmnopqrstuvwxyz", "01234567890"],
  ...["qwertyuiop", "qwertzuiop", "asdfghjkl"],
];
const ROWS = [...FORWARDS, ...FORWARDS.map((row) => [...row].reverse().join(""))];
/** Fewer neighbours are chance. */
const ROW_CHARS = 4;
/** The longest part of a password that may be such rows. */
const ROWS_SHARE = 0.5;
const FIRST_GUESSES = ["password", "passwort", "letmein", "welcome", "changeme", "claude", "relay"];

/**
 * What is wrong with an admin's password, as the end of a sentence; null: nothing. The rules keep
 * out what is guessed first; how good a password is they cannot know.
 */
export function passwordProblem(password: string, username = ""): string | null {
  if (password.length < MIN_CHARS) return `must have at least ${MIN_CHARS} characters`;
  if (password.length > MAX_CHARS) return `must have at most ${MAX_CHARS} characters`;
  if (password !== password.trim()) return "must not begin or end with a space";
  if (/\p{Cc}/u.test(password)) return "must not hold a line break or another control character";
  const text = password.toLowerCase();
  if (new Set(text).size < MIN_DIFFERENT_CHARS) return "repeats few characters and is weak";
  if (rowChars(text) > text.length * ROWS_SHARE) {
    return "is mostly neighbours on the keyboard or in the alphabet, and weak";
  }
  const guess = [username.toLowerCase(), ...FIRST_GUESSES].find(
    (word) => word !== "" && text.replaceAll(word, "").length < MIN_DIFFERENT_CHARS,
  );
  return guess === undefined ? null : "is little more than a word that is guessed first";
}

/** How many characters stand in rows of neighbours, forwards or backwards. */
function rowChars(text: string): number {
  let count = 0;
  let at = 0;
  while (at < text.length) {
    const from = at;
    const length = Math.max(...ROWS.map((row) => commonChars(text, from, row)));
    const isRow = length >= ROW_CHARS;
    if (isRow) count += length;
    at += isRow ? length : 1;
  }
  return count;
}

/** How long the text goes along a row from here on. */
function commonChars(text: string, at: number, row: string): number {
  const start = row.indexOf(text.charAt(at));
  if (start === -1) return 0;
  let length = 0;
  while (start + length < row.length && text[at + length] === row[start + length]) length += 1;
  return length;
}
