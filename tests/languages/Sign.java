// Reads lines of "secret body", both in hexadecimal; writes the HMAC-SHA256 of each body.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

public class Sign {
    public static void main(String[] arguments) throws Exception {
        var hexadecimal = HexFormat.of();
        var answers = new StringBuilder();
        try (var lines = new BufferedReader(new InputStreamReader(System.in))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                int space = line.indexOf(' ');
                var mac = Mac.getInstance("HmacSHA256");
                mac.init(new SecretKeySpec(hexadecimal.parseHex(line.substring(0, space)), "HmacSHA256"));
                answers.append(hexadecimal.formatHex(mac.doFinal(hexadecimal.parseHex(line.substring(space + 1)))));
                answers.append('\n');
            }
        }
        System.out.print(answers);
    }
}
