// What a browser with scripts adds to pages that work without any.

const all = (selector) => document.querySelectorAll(selector);
const byID = (id) => document.getElementById(id);

// A password can be shown. It is hidden again when sent, so that the browser
// takes it for what it is.
for (const button of all('.show')) {
  const input = byID(button.getAttribute('aria-controls'));
  const { show, hide } = button.dataset;
  const set = (shown) => {
    input.type = shown ? 'text' : 'password';
    button.textContent = shown ? hide : show;
  };
  button.addEventListener('click', () => {
    set(input.type === 'password');
    input.focus();
  });
  input.form.addEventListener('submit', () => set(false));
  set(false);
  button.hidden = false;
}

// The rules tick off while a new password is typed, told by the same Unicode
// categories as on the server. A line without a test here stays plain: only the
// server can say.
const classes = { digit: /\p{Nd}/u, lower: /\p{Ll}/u, upper: /\p{Lu}/u, special: /[^\p{L}\p{Nd}]/u };

for (const list of all('[data-rules-of]')) {
  const input = byID(list.dataset.rulesOf);
  const note = byID(`${input.id}-note`);
  const keeps = (rule, password) => {
    if (rule !== 'length') return classes[rule].test(password);
    const length = [...password].length;
    return length >= list.dataset.minimum && length <= list.dataset.maximum;
  };
  const lines = [...list.querySelectorAll('[data-rule]')]
    .filter(({ dataset: { rule } }) => rule === 'length' || rule in classes);
  const check = () => {
    const password = input.value.normalize('NFC');
    for (const line of lines) {
      const met = keeps(line.dataset.rule, password);
      line.className = met ? 'met' : 'open';
      line.querySelector('.unseen').hidden = !met;
    }
    const text = /[^ -~]/.test(password) ? note.dataset.text : '';
    if (note.textContent !== text) note.textContent = text;
  };
  input.addEventListener('input', check);
  check();
}

// Choosing a language changes the page at once.
for (const select of all('.language select')) {
  const button = select.parentElement.querySelector('button');
  select.addEventListener('change', () => button.click());
  button.hidden = true;
}

// Another region's page hands the e-mail address over behind the #, which no
// server sees. It leaves the address bar at once.
const handed = new URLSearchParams(location.hash.slice(1)).get('email');
if (handed !== null) {
  history.replaceState(null, '', location.pathname + location.search);
  const input = document.querySelector('#main input[name=email]');
  if (input && !input.readOnly && input.value === '') input.value = handed;
  [...all('#main input')].find(({ value }) => value === '')?.focus();
}

// Where no time zone was chosen, the browser's own stands first.
for (const select of all('[data-suggest-zone]')) {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if ([...select.options].some(({ value }) => value === timeZone)) select.value = timeZone;
}

// Instants are written in the browser's time zone and in the page's language, the way
// it is written where the reader lives; unless the reader chose a time zone.
const { lang, dataset: { timeZone: chosen } } = document.documentElement;
const locale = navigator.languages.find((tag) => tag.split('-')[0] === lang) ?? lang;

for (const time of chosen ? [] : all('time[datetime]')) {
  const at = new Date(time.dateTime);
  if (Number.isNaN(at.valueOf())) continue;
  const style = { dateStyle: time.closest('table') ? 'medium' : 'long', timeStyle: 'short' };
  time.title = time.textContent;
  time.textContent = new Intl.DateTimeFormat(locale, style).format(at);
}
