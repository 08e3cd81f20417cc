# Started after the gateway's unit: prints what systemd and clients see of the gateway while it runs and once it has
# stopped. The client counts appear in StatusText shortly after the unit has become active.
for _ in $(seq 100); do
    systemctl show aisopod-gateway -p StatusText | grep -q clients && break
    sleep 0.1
done
systemctl show aisopod-gateway -p ActiveState,StatusText,User
socket=/run/aisopod-gateway/gateway.sock
stat -c 'socket mode %a' $socket
token=$(cat "$(dirname "$0")/token")
curl -s --unix-socket $socket http://gateway/readyz; echo
curl -s -o /dev/null -w 'without a token: %{http_code}\n' --unix-socket $socket http://gateway/ws \
    -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' \
    -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
curl -s -o /dev/null -w 'with a token: %{http_code}\n' --max-time 5 --unix-socket $socket http://gateway/ws \
    -H "Authorization: Bearer $token" -H 'Connection: Upgrade' -H 'Upgrade: websocket' \
    -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
curl -s --unix-socket $socket http://gateway/status; echo
systemctl stop aisopod-gateway
systemctl show aisopod-gateway -p ActiveState,Result,ExecMainStatus
systemctl --force --force poweroff
