{{/* Durations and rates, in the words of `gatepost check`. */}}

{{/* What is wrong with a duration; nothing: it is one. Argument: dict "text", "zero": whether it may be no time. */}}
{{- define "gatepost.notDuration" -}}
{{- $number := regexFind "^[0-9]+" .text -}}
{{- $unit := trimPrefix $number .text -}}
{{- $most := dict "ms" 31622400000 "s" 31622400 "m" 527040 "h" 8784 -}}
{{- $digits := regexReplaceAll "^0+" $number "" -}}
{{- if and $number (not $unit) -}}
expected a number and a unit: write `{{ .text }}s` for seconds
{{- else if not (and $number (hasKey $most $unit)) -}}
expected a number and a unit, like `250ms`, `30s`, `5m`, `1h`
{{- else if not (or $digits .zero) -}}
expected more than no time
{{- else if or (gt (len $digits) 11) (gt (default "0" $digits | int64) (get $most $unit | int64)) -}}
expected at most a year
{{- end -}}
{{- end -}}

{{/* All that are wrong, at once; argument: proxy.yaml. */}}
{{- define "gatepost.validate.durations" -}}
{{- $found := dict -}}
{{- range $key, $text := default dict .timeouts -}}
{{- $_ := set $found (printf "config.timeouts.%s" $key) (dict "text" $text "zero" (has $key (list "drain" "drain_delay" "keepalive"))) -}}
{{- end -}}
{{- range $name, $backend := .backends -}}
{{- if kindIs "map" $backend -}}
{{- range $key, $text := pick $backend "connect_timeout" "greeting_timeout" "login_timeout" "retry_for" -}}
{{- $_ := set $found (printf "config.backends.%s.%s" $name $key) (dict "text" $text "zero" (eq $key "retry_for")) -}}
{{- end -}}
{{- $health := default dict $backend.health -}}
{{- $_ := set $found (printf "config.backends.%s.health.interval" $name) (dict "text" $health.interval) -}}
{{- $_ := set $found (printf "config.backends.%s.health.timeout" $name) (dict "text" $health.timeout) -}}
{{- end -}}
{{- end -}}
{{- range $i, $source := .users_from -}}
{{- $_ := set $found (printf "config.users_from[%d].cache" $i) (dict "text" $source.cache "zero" true) -}}
{{- $_ := set $found (printf "config.users_from[%d].timeout" $i) (dict "text" $source.timeout) -}}
{{- end -}}
{{- $limits := default dict .limits -}}
{{- $_ := set $found "config.limits.failure_delay" (dict "text" $limits.failure_delay "zero" true) -}}
{{- $wrong := list -}}
{{- range $at, $is := $found -}}
{{- if and (kindIs "string" $is.text) (not (contains "${" (toString $is.text))) -}}
{{- with include "gatepost.notDuration" $is -}}{{- $wrong = append $wrong (printf "%s: `%s` is no duration; %s" $at $is.text .) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- range $key, $text := default dict $limits.failed_logins -}}
{{- $rate := toString $text -}}
{{- $parts := regexFindAll "^[0-9]+/|[^/]+$" $rate 2 -}}
{{- $digits := regexReplaceAll "^0+" (first $parts | default "" | trimSuffix "/") "" -}}
{{- $isOne := and (regexMatch "^[0-9]+/[^/]+$" $rate) (le (len $digits) 10) (le (default "0" $digits | int64) 4294967295) -}}
{{- if contains "${" $rate -}}
{{- else if not $isOne -}}
{{- $wrong = append $wrong (printf "config.limits.failed_logins.%s: `%s` is no rate; expected so many in such a time, like `100/10m`" $key $rate) -}}
{{- else if include "gatepost.notDuration" (dict "text" (last $parts)) -}}
{{- $wrong = append $wrong (printf "config.limits.failed_logins.%s: `%s` is no rate; expected so many in such a time, like `100/10m`" $key $rate) -}}
{{- else if not $digits -}}
{{- $wrong = append $wrong (printf "config.limits.failed_logins.%s: `%s` is no rate; expected at least one, like `1/10m`" $key $rate) -}}
{{- end -}}
{{- end -}}
{{- if $wrong -}}{{- fail (join "\n" $wrong) -}}{{- end -}}
{{- end -}}
