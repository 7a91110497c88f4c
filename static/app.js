// Comforts for browsers with JavaScript. Every page works without them; what
// needs them is hidden until this runs. Only text is written, never markup.
'use strict'

// Times: the viewer's zone in the text, the exact instant in the title.
const local = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' })
function showLocal(time) {
  const instant = new Date(time.dateTime)
  if (!Number.isNaN(instant.getTime())) time.textContent = local.format(instant)
}
document.querySelectorAll('time[datetime]').forEach(showLocal)

for (const button of document.querySelectorAll('button[data-action]')) {
  button.hidden = false
  button.addEventListener('click', () => actions[button.dataset.action](button))
}

function textOf(button) {
  const source = document.getElementById(button.dataset.from)
  const items = source.querySelectorAll('li')
  if (items.length > 0) return Array.from(items, item => item.textContent.trim()).join('\n') + '\n'
  return source.textContent.replace(/\s+/g, '')
}

// say tells what a button has done, for the eye and for a screen reader.
function say(button, text) {
  const label = button.querySelector('[data-label]')
  label.dataset.label ||= label.textContent // a second click finds the answer to the first
  label.textContent = text
  setTimeout(() => { label.textContent = label.dataset.label }, 2000)
}

const actions = {
  async copy(button) {
    try {
      await navigator.clipboard.writeText(textOf(button))
      say(button, 'Copied')
    } catch {
      say(button, 'Select and copy it by hand')
    }
  },
  download(button) {
    const link = document.createElement('a')
    link.href = URL.createObjectURL(new Blob([textOf(button)], { type: 'text/plain' }))
    link.download = button.dataset.name
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000) // some browsers read it after the click
    say(button, 'Downloaded')
  },
  print() {
    window.print()
  },
  reveal(button) {
    const input = document.getElementById(button.dataset.from)
    const shown = input.type === 'password'
    input.type = shown ? 'text' : 'password'
    button.setAttribute('aria-pressed', String(shown))
    button.querySelector('[data-label]').textContent = shown ? 'Hide' : 'Show'
  },
}

// A page whose session has ended elsewhere does not stay on the screen: it asks
// now and then while somebody may look at it, and when it comes back into view.
// Asking does not keep the session from idling.
const frame = document.querySelector('[data-alive]')
function leave() {
  location.replace('/login?done=ended&next=' + encodeURIComponent(location.pathname + location.search))
}
// leaveIfOver reports whether the server answered and the session lives.
async function leaveIfOver() {
  let answer
  try {
    answer = await fetch(frame.dataset.alive, { redirect: 'manual', cache: 'no-store' })
  } catch {
    return false // no connection: nothing is known
  }
  if (answer.type === 'opaqueredirect') leave()
  return answer.ok
}
function leaveWhenOver() {
  if (document.visibilityState === 'visible') leaveIfOver()
}
if (frame) {
  setInterval(leaveWhenOver, 15_000)
  document.addEventListener('visibilitychange', leaveWhenOver)
  window.addEventListener('pageshow', event => { if (event.persisted) leaveWhenOver() })
}

// After a refused form, the summary is the first thing to read.
document.querySelector('[role="alert"][tabindex]')?.focus()
