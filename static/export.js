// Shows how far a long export is. The file itself comes as a download, which leaves
// the page where it is; the server tells how much of the log it has handed over.

const area = document.querySelector('.exporting')
const [words, bar] = area.children
const every = 1_000
const patience = 5 // answers that may pass before the export is seen to run

let timer

function show(text, percent) {
  area.hidden = false
  if (words.textContent !== text) words.textContent = text
  bar.hidden = percent === undefined
  if (percent !== undefined) bar.value = percent
}

function watch(seen, left) {
  clearTimeout(timer)
  timer = setTimeout(async () => {
    let progress
    try {
      const answer = await fetch('/audit/export/progress', { headers: { Accept: 'application/json' } })
      if (!answer.ok) return
      progress = await answer.json()
    } catch {
      return // gone, and the export with it
    }
    if (progress.running) {
      show('Exporting…', progress.percent)
      watch(true, left)
    } else if (seen) {
      show('The export is done.')
    } else if (left > 0) {
      watch(false, left - 1)
    }
  }, every)
}

document.addEventListener('submit', event => {
  if (event.submitter?.name !== 'format') return
  area.hidden = true
  watch(false, patience)
})
