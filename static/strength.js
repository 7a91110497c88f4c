// Says how good a new password is while it is typed, and whether it was typed
// twice alike. It only advises: the server decides, by security/password/rules.go,
// which this follows as far as it can. The server alone knows the list of common
// passwords and those that the person had before.

const box = document.querySelector('.advice')
const [bar, words] = box.children
const same = document.querySelector('.advice-same')
const password = document.getElementById('password')
const again = document.getElementById('password_confirm')
const owner = password.form.querySelector('[autocomplete="username"]') // there for password managers too
const minLength = Number(box.dataset.minLength)
const minScore = Number(box.dataset.minScore)

// The limits of rules.go.
const maxLength = 128
const estimated = 40
const minContextWord = 3
const minDistinct = 5

const signs = { 4: 'a', '@': 'a', 8: 'b', 3: 'e', 6: 'g', 9: 'g', 1: 'i', '!': 'i', '|': 'i', l: 'i',
  0: 'o', $: 's', 5: 's', 7: 't', '+': 't', 2: 'z' }

const codePoints = text => Array.from(text)
const plain = text => text.replace(/[4@83691!|l0$57+2]/g, sign => signs[sign])
const separated = text => text.split(/[^\p{L}\p{Nd}]+/u)

// contextWords are the words that count for nothing, longest first.
function contextWords() {
  const email = owner.value.trim()
  const [local, domain = ''] = email.split(/@(.*)/s)
  const labels = separated(domain).filter(label => label !== '')
  const found = [box.dataset.product, email, local, domain, ...separated(local), ...(labels.length > 1 ? labels.slice(0, -1) : labels)]
  const long = found.map(word => word.toLowerCase()).filter(word => codePoints(word).length >= minContextWord)
  return Array.from(new Set(long)).sort((a, b) => b.length - a.length)
}

function without(text, context) {
  let rest = text.toLowerCase()
  for (const word of context.map(plain)) {
    for (let at = plain(rest).indexOf(word); at >= 0; at = plain(rest).indexOf(word)) {
      rest = rest.slice(0, at) + rest.slice(at + word.length)
    }
  }
  return rest
}

// strength is zxcvbn's result; what is left without the context must be as good
// on its own.
function strength(zxcvbn, typed, rest, context) {
  const estimate = text => zxcvbn(codePoints(text).slice(0, estimated).join(''), context)
  const whole = estimate(typed)
  if (rest.length === typed.length) return whole
  const part = estimate(rest)
  return part.score < whole.score ? part : whole
}

// judge returns how far the bar goes, from 1 to 4, where 3 and more are
// accepted, and the words, which say it alone.
function judge(typed, zxcvbn) {
  const context = contextWords()
  const rest = without(typed, context)
  const all = codePoints(typed).length
  const counted = codePoints(rest).length
  if (all > maxLength) return [1, `Too long: ${all} characters, where ${maxLength} are the most.`]
  if (counted < minLength) {
    const why = counted < all ? ' Parts of your e-mail address and the name of this product do not count.' : ''
    return [1, `Too short: ${counted} of ${minLength} characters.${why}`]
  }
  const hasClasses = [/\p{Ll}/u, /\p{Lu}/u, /\p{Nd}/u, /[^\p{L}\p{Nd}]/u].every(kind => kind.test(typed))
  if ('classes' in box.dataset && !hasClasses) return [1, 'Use a small letter, a capital letter, a digit and another sign.']
  if (!zxcvbn) return [0, 'Long enough.']

  const { score, feedback } = strength(zxcvbn, typed, rest, context)
  const monotonous = minScore > 0 && new Set(codePoints(typed)).size < minDistinct
  const advice = monotonous ? 'Use more different characters.'
    : feedback.warning ? feedback.warning + '.' : 'Put together several words that do not belong together.'
  if (score < minScore || monotonous) return [2, `${score < 3 || monotonous ? 'Easy to guess.' : 'Not quite hard enough to guess.'} ${advice}`]
  if (score < 3) return [2, `Allowed, but easy to guess. ${advice}`]
  return score < 4 ? [3, 'Good.'] : [4, 'Very good.']
}

// zxcvbn is larger than all the rest of a page, so it comes when somebody is
// about to need it. Without it, the length alone is judged.
let library
function load() {
  library ??= new Promise(resolve => {
    const script = document.createElement('script')
    script.src = box.dataset.estimator
    script.onload = () => resolve(window.zxcvbn)
    script.onerror = () => {
      script.remove()
      library = undefined // the next focus tries again
      resolve()
    }
    document.head.append(script)
  })
  return library
}

// write changes words only where they differ: a screen reader reads each change
// out.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text
}

function show(zxcvbn) {
  const typed = password.value.replace(/\p{Zs}/gu, ' ').normalize('NFC')
  const [level, text] = typed === '' ? [0, ''] : judge(typed, zxcvbn)
  bar.dataset.level = level
  write(words, text)
}

let pause
function later() {
  clearTimeout(pause)
  pause = setTimeout(() => {
    show(window.zxcvbn)
    if (password.value !== '' && !window.zxcvbn) load().then(show)
  }, 250)
}

password.addEventListener('focus', load)
password.addEventListener('input', later)
owner.addEventListener('input', later)
if (document.activeElement === password) load()

again.addEventListener('blur', () => {
  const alike = password.value === again.value
  write(same, again.value === '' ? '' : alike ? 'The two passwords are the same.' : 'The two passwords are not the same.')
  if (alike && again.value !== '') outdated()
})

// outdated takes away what the server said of the repetition that was sent
// before: beside the words on this one it would be a contradiction.
function outdated() {
  document.getElementById('password_confirm-error')?.remove()
  again.removeAttribute('aria-invalid')
  again.removeAttribute('aria-describedby') // it has no hint
}
for (const field of [password, again]) field.addEventListener('input', () => write(same, ''))

box.hidden = same.hidden = false
