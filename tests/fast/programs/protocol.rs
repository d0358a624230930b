//! What a client hears is what the server would tell it.

use super::{Trial, assert_holds};

fn assert_heard(program: &str) {
    assert_holds(&Trial::new(&[("program", program)], "SELECT true").run());
}

#[test]
fn a_flush_of_nothing_is_not_waited_for() {
    assert_heard(
        "c.send(FLUSH, parse('SELECT x FROM t'), bind(), execute(), FLUSH, FLUSH)\nassert c.kinds(b'C') == '12DC'\n\
         c.send(FLUSH, SYNC)\nassert c.kinds() == 'Z'",
    );
}

#[test]
fn a_statement_is_prepared_ahead_of_its_run() {
    assert_heard(
        "c.send(parse('SELECT x FROM t', 'p'), describe('p'), FLUSH)\nassert c.kinds(b'T') == '1tT'\n\
         c.send(bind((), 'p'), execute(), SYNC)\nassert c.kinds() == '2DCZ'\n\
         c.send(parse('SELECT nothing', 'q'), describe('q'), FLUSH)\nassert c.kinds(b'E') == 'E'\n\
         c.send(bind((), 'p'), execute(), FLUSH)\nc.send(SYNC)\nassert c.kinds() == 'Z' and c.status == 'I'\n\
         c.send(bind((), 'p'), execute(), SYNC)\nassert c.kinds() == '2DCZ'",
    );
}

#[test]
fn a_constraint_that_is_checked_at_commit_fails_in_place_of_success() {
    assert_heard(
        "c.run('CREATE TABLE d (x int UNIQUE DEFERRABLE INITIALLY DEFERRED)')\nc.run('INSERT INTO d VALUES (1)')\n\
         c.send(query('INSERT INTO d VALUES (1)'))\nassert c.kinds() == 'EZ' and c.status == 'I'\n\
         c.send(parse('INSERT INTO d VALUES (1)'), bind(), execute(), SYNC)\nassert c.kinds() == '12CEZ' and c.status == 'I'",
    );
}

#[test]
fn portals_are_suspended_and_end_with_their_transaction() {
    assert_heard(
        "c.run('BEGIN')\nsql = 'SELECT y FROM generate_series(1, 5) AS y, t'\n\
         c.send(parse(sql), bind((), '', 'p'), execute(2, 'p'), SYNC)\nassert c.kinds() == '12DDsZ' and c.status == 'T'\n\
         c.send(execute(0, 'p'), SYNC)\nassert c.kinds() == 'DDDCZ'\nc.run('COMMIT')\n\
         c.send(execute(0, 'p'), SYNC)\nassert c.kinds() == 'EZ' and c.status == 'I'\n\
         c.send(query(''))\nassert c.kinds() == 'IZ'",
    );
}

#[test]
fn rows_are_copied_both_ways() {
    assert_heard(
        "c.send(query('COPY t FROM STDIN'))\nassert c.kinds(b'G') == 'G'\n\
         c.send(message(b'd', b'1\\n'), message(b'd', b'2\\n'), message(b'c'))\nassert c.kinds() == 'CZ'\n\
         c.send(parse('COPY t FROM STDIN'), bind(), execute(), SYNC)\nassert c.kinds(b'G') == '12G'\n\
         c.send(message(b'd', b'3\\n'), message(b'c'), SYNC)\nassert c.kinds() == 'CZ'\n\
         c.send(query('COPY t FROM STDIN'))\nc.kinds(b'G')\nc.send(message(b'f', b'no\\0'))\nassert c.kinds() == 'EZ'\n\
         c.send(query('COPY t TO STDOUT'))\nassert c.kinds() == 'HddddcCZ'",
    );
}

#[test]
fn a_chained_transaction_goes_on_in_the_next() {
    assert_heard(
        "c.run('BEGIN')\nc.run('UPDATE t SET x = 1')\nc.run('COMMIT AND CHAIN')\nassert c.status == 'T'\n\
         c.run('UPDATE t SET x = 2')\nc.run('ROLLBACK')\nassert c.run('SELECT x FROM t') == [['1']]",
    );
}

#[test]
fn many_statements_are_sent_ahead_of_their_answers() {
    assert_heard(
        "one = parse('SELECT x FROM t') + bind() + execute()\nc.send(one * 20000, SYNC)\n\
         assert len(c.until(b'Z')) == 4 * 20000 + 1",
    );
}

#[test]
fn the_program_of_the_setup_speaks_with_the_server_as_if_alone() {
    let setup = "c.send(query(\"DO $$ BEGIN RAISE NOTICE 'now'; END $$; SELECT pg_sleep(60)\"))\nc.until(b'N')\nc.cancel()\n\
                 try: c.rows()\nexcept Failed as error: assert error.code == '57014', error\n\
                 else: raise AssertionError('not cancelled')\n\
                 try: Connection(no_such_setting='1')\nexcept Failed as error: assert error.code == '42704', error\n\
                 else: raise AssertionError('not refused')\nc.run('UPDATE t SET x = 7')";
    let trial = Trial::new(
        &[("program", "assert c.run('SELECT x FROM t') == [['7']]")],
        "SELECT true",
    );
    assert_holds(&trial.with_setup(setup).run());
}

#[test]
fn settings_that_a_client_begins_with_are_as_it_says() {
    assert_heard(
        "d = Connection(options='-c standard_conforming_strings=off --extra-float-digits=0', extra_float_digits='3')\n\
         assert d.parameters['standard_conforming_strings'] == 'off'\n\
         assert d.run('SHOW extra_float_digits') == [['3']]",
    );
}

#[test]
fn what_needs_a_transaction_is_refused_outside_one() {
    assert_heard(
        "for sql in ('LOCK t', 'DECLARE c CURSOR FOR SELECT x FROM t'):\n\
         \x20   for ask in (c.run, c.ask):\n\
         \x20       try: ask(sql)\n\
         \x20       except Failed as error: assert error.code == '25P01', error\n\
         \x20       else: raise AssertionError(sql)\n\
         c.run('LOCK t; SELECT x FROM t')\nc.run('DECLARE c CURSOR WITH HOLD FOR SELECT x FROM t')\n\
         assert c.run('FETCH c') == [['0']]",
    );
}

/// What a server of version 15 says is at the right.
#[test]
fn clients_of_other_versions_and_what_is_none_are_answered_as_the_server_does() {
    assert_heard(
        "import struct\n\
         def knock(code, rest=b''):\n\
         \x20   s = socket.create_connection((os.environ['PGHOST'], int(os.environ['PGPORT'])))\n\
         \x20   s.settimeout(5)\n\
         \x20   s.sendall(struct.pack('!ii', len(rest) + 8, code) + rest)\n\
         \x20   return s\n\
         settings = b'user\\0' + text(os.environ['PGUSER'])\n\
         assert knock(80877104).recv(1) == b'N'\n\
         said = knock(3 << 16 | 2, settings + b'_pq_.new\\0on\\0\\0').recv(100)\n\
         assert said.startswith(message(b'v', struct.pack('!ii', 196608, 1) + b'_pq_.new\\0')), said\n\
         said = knock(3 << 16 | 9999, settings + b'\\0').recv(100)\n\
         assert said.startswith(message(b'v', struct.pack('!ii', 196608, 0))), said\n\
         said = knock(4 << 16, settings + b'\\0').recv(200)\n\
         assert b'C0A000\\0Munsupported frontend protocol 4.0: server supports 3.0 to 3.0\\0' in said, said\n\
         s = knock(3 << 16, settings + b'\\0')\n\
         s.recv(9)\n\
         s.sendall(message(b'p', b'wrong\\0'))\n\
         assert b'C28P01\\0' in s.recv(200)\n\
         assert knock(80877102, b'short').recv(1) == b'' and knock(12345).recv(1)[:1] == b'E'\n\
         c.run('SELECT x FROM t')",
    );
}

#[test]
fn a_client_that_reads_slowly_and_one_that_sends_much_are_served() {
    assert_heard(
        "import time\nc.send(query(\"SELECT repeat('x', 1000) FROM generate_series(1, 20000), t\"))\ntime.sleep(0.3)\n\
         assert len(c.rows()) == 20000\n\
         assert c.run(\"SELECT length('\" + 'y' * 300000 + \"') FROM t\") == [['300000']]\n\
         c.send(query('COPY seen FROM STDIN'))\nc.kinds(b'G')\nrow = message(b'd', b'12345678\\n')\n\
         c.send(row * 50000, message(b'c'))\nassert c.kinds() == 'CZ'\nassert c.run('SELECT count(*) FROM seen') == [['50000']]",
    );
}
