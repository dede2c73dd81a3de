// Moments as people who work by shifts and logs write them: year first, 24 hours, in the reader's zone.
const two = (number) => String(number).padStart(2, "0");

export function day(moment) {
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}`;
}

export function clock(moment) {
  return `${two(moment.getHours())}:${two(moment.getMinutes())}`;
}

export function stamp(moment) {
  return `${day(moment)} ${clock(moment)}:${two(moment.getSeconds())}`;
}
