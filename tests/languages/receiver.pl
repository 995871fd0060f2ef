# A receiver of MeetGeek webhooks in plain Perl: `perl receiver.pl none FOLDER`, the secret in MG_SECRET.
# Writes its port when it listens. Each processed meeting is one line of FOLDER/done; while FOLDER/broken is there, its
# work fails.
use strict;
use warnings;
use Digest::SHA qw(hmac_sha256_hex);
use IO::Socket::INET;
use JSON::PP;

my (undef, $folder) = @ARGV;
my $secret = $ENV{MG_SECRET};
my %done;

# As long for any two values of the same length.
sub same {
    my ($one, $other) = @_;
    return 0 if length $one != length $other;
    my $difference = 0;
    $difference |= ord(substr $one, $_, 1) ^ ord(substr $other, $_, 1) for 0 .. length($one) - 1;
    return $difference == 0;
}

sub process {
    my ($id) = @_;
    return 500 if -e "$folder/broken";
    open my $file, '>>', "$folder/done" or return 500;
    print {$file} encode_json([$id]), "\n";
    close $file or return 500;
    $done{$id} = 1;
    return 200;
}

sub status_of {
    my ($body, @signatures) = @_;
    return 401 if @signatures != 1 or !same($signatures[0], hmac_sha256_hex($body, $secret));
    my $event = eval { JSON::PP->new->utf8->max_depth(512)->decode($body) };
    my $id = ref $event eq 'HASH' ? $event->{meeting_id} : undef;
    # What has no id, or an odd one, is acknowledged: sending it again would not change it.
    return 200 if !defined $id or ref $id or !length $id or $done{$id};
    return process($id);
}

local $SIG{PIPE} = 'IGNORE';
my $server = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 64, ReuseAddr => 1) or die $!;
$| = 1;
print $server->sockport, "\n";
while (my $client = $server->accept) {
    my ($length, @signatures) = (0);
    my $line = <$client>;
    while (defined($line = <$client>) and $line =~ /\S/) {
        $line =~ s/\r?\n\z//;
        my ($name, $value) = $line =~ /^([^:]+):[ \t]*(.*?)[ \t]*\z/ or next;
        $length = $value if lc $name eq 'content-length';
        push @signatures, $value if lc $name eq 'x-mg-signature';
    }
    my $body = '';
    read $client, $body, $length;
    my $status = status_of($body, @signatures);
    print {$client} "HTTP/1.1 $status Status\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    close $client;
}
