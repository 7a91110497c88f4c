// Does the work of a CAPTCHA unseen, in the place of the digits that who has no
// JavaScript reads or hears. The answer is what ALTCHA's widget would send.
'use strict'

{
  const box = document.getElementById('captcha')
  const { form } = box.querySelector('[name="captcha"]')
  const words = box.querySelector('[role="status"]')
  const digits = box.querySelector('fieldset')
  let done = false
  let waiting // for the work: the button that was pressed, or null for none

  // offer gives the digits or takes them away. Without them they are neither
  // required nor sent.
  const offer = wanted => { digits.hidden = digits.disabled = !wanted }

  const say = text => { words.textContent = text }

  function finish() {
    done = true
    if (waiting !== undefined) form.requestSubmit(waiting)
  }

  function solved(challenge, number, took) {
    const { algorithm, challenge: hash, salt, signature } = challenge
    form.elements.captcha.value = btoa(JSON.stringify({ algorithm, challenge: hash, number, salt, signature, took }))
    say('Your browser has passed the check.')
    finish()
  }

  function failed() {
    say('Your browser could not do the check. Type the six digits instead.')
    done = true
    offer(true)
    if (waiting !== undefined) document.getElementById('captcha_digits').focus()
  }

  form.addEventListener('submit', event => {
    if (done) return
    event.preventDefault()
    waiting = event.submitter
    say('Your browser is still busy with a check. The form is sent when it is done.')
  })

  function start() {
    const challenge = JSON.parse(box.dataset.challenge)
    const begun = performance.now()
    const worker = new Worker(box.dataset.worker)
    worker.onmessage = ({ data: number }) => {
      worker.terminate()
      if (number >= 0) solved(challenge, number, Math.round(performance.now() - begun))
      else failed()
    }
    worker.onerror = failed
    worker.postMessage(challenge)
  }

  offer(false)
  words.hidden = false
  say('Your browser is doing a check.')
  try {
    start()
  } catch {
    failed()
  }
}
