// The two questions this page asks: for the token, and whether it shall really be done.

import { token } from "./api.js";

const $ = (id) => document.getElementById(id);

let asking = null;

/** Asks for the token; resolves when one was given. Several callers share one question. */
export function askForToken(wrong) {
  $("token-wrong").textContent = wrong ? "The gateway does not take this token." : "";
  asking ??= new Promise((resolve) => {
    const dialog = $("token-dialog");
    const form = $("token-form");
    const field = $("token");
    // Without a token there is nothing to go back to.
    dialog.oncancel = (event) => event.preventDefault();
    form.onsubmit = (event) => {
      event.preventDefault();
      token.set(field.value.trim());
      field.value = "";
      dialog.close();
      asking = null;
      resolve();
    };
    dialog.showModal();
    field.focus();
  });
  return asking;
}

/** Asks whether to do something; resolves to null for no, else to what was chosen. */
export function confirm({ title, text, yes, danger = false, choice = false }) {
  const dialog = $("ask-dialog");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  $("ask-yes").classList.toggle("danger", danger);
  $("ask-choice").hidden = !choice;
  $("ask-select").value = "";
  return new Promise((resolve) => {
    let answer = null;
    $("ask-no").onclick = () => dialog.close();
    $("ask-form").onsubmit = () => {
      answer = $("ask-select").value;
    };
    dialog.onclose = () => resolve(answer);
    dialog.showModal();
    $(choice ? "ask-select" : "ask-no").focus();
  });
}
